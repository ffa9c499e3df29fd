"""Logs through the API server, the kubelet's server, crashes of the agent, simulated nodes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import NODES, PODS
from gke_notebook.sandbox.pools import node_names
from tests.support.apiserver import KUBELET_TOKEN, TOKEN, running_server, test_certificates
from tests.support.node import POOL, SIMULATED, Bench, bench, client_certificate, node_config, pod, running_agent


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "pods", POOL, SIMULATED) as made:
        yield made


async def test_logs_by_every_option(here: Bench) -> None:
    code = "import time\nfor n in range(1000): print('line', n)\nprint('end', flush=True); time.sleep(300)"
    await here.create(pod("talks", code))
    await here.log_has("talks", "end")
    everything = await here.logs("talks")
    assert everything.splitlines() == [f"line {n}" for n in range(1000)] + ["end"]
    assert await here.logs("talks", tailLines="2") == "line 999\nend\n"
    assert await here.logs("talks", tailLines="0") == ""
    assert await here.logs("talks", limitBytes="8") == "line 0\nl"
    assert await here.logs("talks", sinceSeconds="3600") == everything
    stamped = (await here.logs("talks", timestamps="true")).splitlines()
    assert stamped[-1].split(" ")[1] == "end"
    first = stamped[0].split(" ")[0]
    assert await here.logs("talks", sinceTime=first) == everything
    assert await here.logs("talks", sinceTime="2099-01-01T00:00:00Z") == ""


async def test_follow_gives_lines_as_they_come(here: Bench) -> None:
    code = (
        "import os, time\nprint('one', flush=True)\n"
        "while not os.path.exists(os.environ['GO']): time.sleep(0.01)\n"
        "print('two', flush=True)"
    )
    go = here.directory / "go"
    await here.create(pod("follows", code, container={"env": [{"name": "GO", "value": str(go)}]}))
    await here.log_has("follows", "one")
    path = PODS.path("default", "follows", "log")
    response = await here.client.open("GET", path, params={"follow": "true"}, timeout=None)
    assert await response.content.readline() == b"one\n"
    go.touch()  # so that nothing of the second line was there before the first was read
    assert await response.content.readline() == b"two\n"
    assert await response.content.read() == b""
    response.release()


async def test_much_output_of_many_pods_is_whole(here: Bench) -> None:
    code = "import sys\nfor n in range(20000): sys.stdout.write('a line of some length to be counted %d\\n' % n)"
    names = [f"loud-{n}" for n in range(8)]
    await here.create(*(pod(name, code) for name in names))
    await asyncio.gather(
        *(
            here.until(
                name,
                lambda p: (
                    (p["status"].get("containerStatuses") or [{}])[0].get("containerID")
                    and "waiting" not in p["status"]["containerStatuses"][0]["state"]
                ),
            )
            for name in names
        )
    )
    for log in await asyncio.gather(*(here.logs(name, follow="true") for name in names)):
        assert log.splitlines() == [f"a line of some length to be counted {n}" for n in range(20000)]


async def test_the_kubelets_server_wants_its_token(here: Bench) -> None:
    node = await here.client.get(NODES, node_names(POOL)[0])
    base = f"https://127.0.0.1:{node['status']['daemonEndpoints']['kubeletEndpoint']['Port']}"
    tls = ssl.create_default_context(cafile=str(test_certificates().authority))
    await here.create(pod("busy", "print(sum(range(10**6)), flush=True)\nimport time; time.sleep(300)"))
    await here.log_has("busy", "\n")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            for path in ("/pods", "/healthz", "/containerLogs/default/busy/main"):
                async with session.get(base + path, headers=headers) as response:
                    assert response.status == 401
        headers = {"Authorization": f"Bearer {KUBELET_TOKEN}"}
        async with session.get(base + "/pods", headers=headers) as response:
            assert [item["metadata"]["name"] for item in (await response.json())["items"]] == ["busy"]
        async with session.get(base + "/metrics/cadvisor", headers=headers) as response:
            text = await response.text()
        row = next(line for line in text.splitlines() if line.startswith("container_memory_working_set_bytes{"))
        assert 'pod="busy"' in row
        assert int(row.rsplit(" ", 1)[1]) > 2**20
        async with session.get(base + "/containerLogs/default/busy/other", headers=headers) as response:
            assert response.status == 404
        async with session.get(base + "/containerLogs/default/busy/main?previous=true", headers=headers) as response:
            assert response.status == 400


async def test_the_kubelets_server_takes_a_client_certificate(tmp_path: Path) -> None:
    authority, certificate, key = client_certificate(tmp_path)
    async with bench(tmp_path / "pods", client_authority=authority) as here:
        node = await here.client.get(NODES, node_names(POOL)[0])
        url = f"https://127.0.0.1:{node['status']['daemonEndpoints']['kubeletEndpoint']['Port']}/healthz"
        statuses = []
        for present in (False, True):
            tls = ssl.create_default_context(cafile=str(test_certificates().authority))
            if present:
                tls.load_cert_chain(certificate, key)
            connector = aiohttp.TCPConnector(ssl=tls)
            async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
                statuses.append(response.status)
        assert statuses == [401, 200]


async def test_a_thousand_pretended_pods(here: Bench) -> None:
    nodes = node_names(SIMULATED)
    bodies = []
    for number in range(1000):
        body = pod(f"p-{number}", "print(1)", SIMULATED)
        body["spec"]["nodeName"] = nodes[number % len(nodes)]
        bodies.append(body)
    limit = asyncio.Semaphore(32)

    async def create(body: dict) -> None:
        async with limit:
            await here.create(body)

    await asyncio.gather(*map(create, bodies))
    for _ in range(600):
        listed = (await here.client.list(PODS, "default"))["items"]
        if all(found["status"].get("phase") == "Running" for found in listed):
            break
        await asyncio.sleep(0.05)
    assert len(listed) == 1000
    assert {found["status"].get("phase") for found in listed} == {"Running"}
    assert list(here.directory.glob("default_*")) == []


async def test_a_pretended_pod_ends_and_is_deleted(here: Bench) -> None:
    short = pod("short", "x", SIMULATED, annotations={"gke-notebook.dev/simulated-seconds": "0.1"})
    await here.create(short, pod("endless", "x", SIMULATED))
    found = await here.ended("short")
    assert found["status"]["phase"] == "Succeeded"
    assert found["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    await here.running("endless")
    await here.client.delete(PODS, "endless", "default")
    await here.gone("endless")


AGENT = """
import asyncio, json, sys
from pathlib import Path
from gke_notebook.cluster.connection import Connection, static_token
from gke_notebook.sandbox import node
from tests.support.node import POOL
given = json.loads(sys.argv[1])
config = node.NodeConfig(
    pools=(POOL,), directory=Path(given["directory"]), kubelet_token=given["kubelet_token"],
    tls_certificate=Path(given["certificate"]), tls_key=Path(given["key"]),
    registered=lambda: print("ready", flush=True),
)
asyncio.run(node.run(Connection(given["server"], token=static_token(given["token"])), config))
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_killed_agent_leaves_no_process_and_the_next_one_reports_it(tmp_path: Path) -> None:
    deaf = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "away = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], start_new_session=True)\n"
        "print(os.getpid(), away.pid, flush=True); time.sleep(300)"
    )
    async with running_server() as connection, Client(connection) as client:
        here = Bench(client, tmp_path / "pods")
        pems = test_certificates()
        given = {
            "directory": str(here.directory), "kubelet_token": KUBELET_TOKEN, "certificate": str(pems.certificate),
            "key": str(pems.key), "server": connection.server, "token": TOKEN,
        }  # fmt: skip
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AGENT, json.dumps(given), stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert agent.stdout is not None
        assert await agent.stdout.readline() == b"ready\n"
        await here.create(
            pod("once", deaf), pod("always", deaf, restartPolicy="Always"), pod("done", "print('kept')"),
        )  # fmt: skip
        pids = (await here.log_has("once", "\n")).split() + (await here.log_has("always", "\n")).split()
        await here.ended("done")
        assert len(pids) == 4
        os.kill(agent.pid, signal.SIGKILL)
        await agent.wait()
        for _ in range(400):
            if not any(alive(int(pid)) for pid in pids):
                break
            await asyncio.sleep(0.02)
        assert [pid for pid in pids if alive(int(pid))] == []

        async with running_agent(connection, node_config(here.directory)):
            found = await here.ended("once")
            ended = found["status"]["containerStatuses"][0]["state"]["terminated"]
            assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
            found = await here.until("always", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1)
            assert found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
            assert await here.logs("done") == "kept\n"
            assert (await here.client.get(PODS, "done", "default"))["status"]["phase"] == "Succeeded"
