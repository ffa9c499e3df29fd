from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gke_notebook.cluster.resources import LEASES, NODES, PODS
from gke_notebook.sandbox.pools import node_names
from tests.support.node import GPU, POOL, Bench, bench, pod


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "pods", POOL, GPU) as made:
        yield made


def state(found: dict, container: int = 0) -> dict:
    return found["status"]["containerStatuses"][container]["state"]


def conditions(found: dict) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in found["status"]["conditions"]}


async def test_nodes_are_registered_as_gke_registers_them(here: Bench) -> None:
    name = node_names(GPU)[0]
    node = await here.client.get(NODES, name)
    assert node["metadata"]["labels"]["cloud.google.com/gke-accelerator"] == "nvidia-l4"
    assert node["metadata"]["labels"]["gke-notebook.dev/simulated"] == "true"
    # The API server taints what is new; the node lifecycle controller, which does not run here, takes that away.
    taints = [taint for taint in node["spec"]["taints"] if taint["key"] != "node.kubernetes.io/not-ready"]
    assert taints == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] > 0
    for _ in range(100):
        leases = await here.client.list(LEASES, "kube-node-lease")
        if len(leases["items"]) == 2:
            break
        await asyncio.sleep(0.05)
    assert {lease["spec"]["holderIdentity"] for lease in leases["items"]} == {name, node_names(POOL)[0]}


async def test_success(here: Bench) -> None:
    code = "import os, sys; print('hello'); sys.stderr.write('oops\\n'); open(os.environ['T'], 'w').write('done')"
    body = pod("good", code, container={"env": [{"name": "T", "value": "/dev/termination-log"}]})
    await here.create(body)
    found = await here.ended("good")
    assert found["status"]["phase"] == "Succeeded"
    assert state(found)["terminated"]["exitCode"] == 0
    assert state(found)["terminated"]["reason"] == "Completed"
    assert state(found)["terminated"]["message"] == "done"
    assert found["status"]["podIP"] == found["status"]["hostIP"] == "127.0.0.1"
    assert conditions(found) | {"Initialized": "True", "Ready": "False"} == conditions(found)
    assert sorted((await here.logs("good")).splitlines()) == ["hello", "oops"]
    texts = {}
    for reason in ("Pulling", "Pulled", "Created", "Started"):
        texts[reason] = (await here.event("good", reason))["message"]
    assert texts["Created"] == "Created container: main"
    assert texts["Started"] == "Started container main"


async def test_a_failure_keeps_its_exit_code_and_the_end_of_its_log(here: Bench) -> None:
    code = "import sys; print('Traceback: no such thing'); sys.exit(3)"
    await here.create(pod("bad", code, container={"terminationMessagePolicy": "FallbackToLogsOnError"}))
    found = await here.ended("bad")
    assert found["status"]["phase"] == "Failed"
    ended = state(found)["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "Traceback: no such thing\n")


async def test_killed_by_a_signal(here: Bench) -> None:
    await here.create(pod("killed", "import os; os.kill(os.getpid(), 11)"))
    assert state(await here.ended("killed"))["terminated"]["exitCode"] == 139


async def test_a_program_that_does_not_exist(here: Bench) -> None:
    await here.create(pod("nothing", ["no-such-program"]))
    ended = state(await here.ended("nothing"))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]
    assert (await here.event("nothing", "Failed"))["message"].startswith("Error: failed to create containerd task")


async def test_an_image_that_is_none(here: Bench) -> None:
    body = pod("image", "print(1)")
    body["spec"]["containers"][0]["image"] = "No Such:Image"
    await here.create(body)
    found = await here.until("image", lambda p: state_reason(p) == "InvalidImageName")
    assert "invalid reference format" in state(found)["waiting"]["message"]
    await here.client.delete(PODS, "image", "default")
    await here.gone("image")


def state_reason(found: dict) -> str:
    statuses = found["status"].get("containerStatuses") or [{"state": {}}]
    return str((statuses[0]["state"].get("waiting") or {}).get("reason"))


async def test_a_deleted_pod_gets_sigterm_and_its_grace(here: Bench) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): print('got it', flush=True); time.sleep(0.2); print('bye', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
    )
    await here.create(pod("polite", code))
    await here.log_has("polite", "up")
    following = asyncio.create_task(here.logs("polite", follow="true"))
    await here.client.delete(PODS, "polite", "default")
    assert (await following).splitlines() == ["up", "got it", "bye"]
    await here.gone("polite")
    assert (await here.event("polite", "Killing"))["message"] == "Stopping container main"
    for _ in range(200):
        if not list(here.directory.glob("default_polite_*")):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("its files are left")


async def test_a_deaf_pod_is_killed_after_its_grace(here: Bench) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    await here.create(pod("deaf", code))
    await here.log_has("deaf", "up")
    await here.client.delete(PODS, "deaf", "default", grace_period=1)
    await here.gone("deaf")


async def test_on_failure_restarts_and_keeps_the_previous_log(here: Bench) -> None:
    code = (
        "import os, sys\n"
        "first = not os.path.exists(os.environ['MARK'])\n"
        "open(os.environ['MARK'], 'w').close()\n"
        "print('first' if first else 'second'); sys.exit(first)"
    )
    body = pod(
        "again", code, restartPolicy="OnFailure", volumes=[{"name": "s", "emptyDir": {}}],
        container={
            "env": [{"name": "MARK", "value": "/scratch/mark"}],
            "volumeMounts": [{"name": "s", "mountPath": "/scratch"}],
        },
    )  # fmt: skip
    await here.create(body)
    found = await here.ended("again")
    assert found["status"]["phase"] == "Succeeded"
    status = found["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert await here.logs("again") == "second\n"
    assert await here.logs("again", previous="true") == "first\n"


async def test_a_container_that_keeps_failing_is_backed_off(here: Bench) -> None:
    await here.create(pod("loop", "raise SystemExit(2)", restartPolicy="Always"))
    found = await here.until("loop", lambda p: state_reason(p) == "CrashLoopBackOff")
    status = found["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 2
    assert status["state"]["waiting"]["message"].startswith(
        "back-off 10s restarting failed container=main pod=loop_def"
    )
    assert found["status"]["phase"] == "Running"
    assert "Back-off restarting failed container main" in (await here.event("loop", "BackOff"))["message"]


async def test_init_containers_run_one_after_the_other(here: Bench) -> None:
    def step(name: str, text: str) -> dict:
        return {
            "name": name, "image": "python", "command": ["sh", "-c", f"echo {text} >> /w/f; echo in {name}"],
            "volumeMounts": [{"name": "w", "mountPath": "/w"}],
        }  # fmt: skip

    body = pod(
        "inits", ["cat", "/w/f"], initContainers=[step("one", "1"), step("two", "2")],
        volumes=[{"name": "w", "emptyDir": {}}], container={"volumeMounts": [{"name": "w", "mountPath": "/w"}]},
    )  # fmt: skip
    await here.create(body)
    found = await here.ended("inits")
    assert await here.logs("inits", "main") == "1\n2\n"
    assert await here.logs("inits", "two") == "in two\n"
    assert [s["state"]["terminated"]["reason"] for s in found["status"]["initContainerStatuses"]] == ["Completed"] * 2


async def test_a_failed_init_container_fails_the_pod(here: Bench) -> None:
    init = {"name": "setup", "image": "python", "command": ["python3", "-c", "raise SystemExit(4)"]}
    await here.create(pod("uninit", "print(1)", initContainers=[init]))
    found = await here.ended("uninit")
    assert found["status"]["phase"] == "Failed"
    assert conditions(found)["Initialized"] == "False"
    assert found["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4


async def test_volumes_environment_and_the_downward_api(here: Bench) -> None:
    await here.config("program", **{"run.py": "import os, json; print(json.dumps(dict(os.environ)))", "k": "v"})
    body = pod(
        "env", ["python3", "/prog/run.py"], labels={"app": "x"},
        annotations={"batch.kubernetes.io/job-completion-index": "5"},
        volumes=[{"name": "p", "configMap": {"name": "program", "items": [{"key": "run.py", "path": "run.py"}]}}],
        container={
            "volumeMounts": [{"name": "p", "mountPath": "/prog"}],
            "envFrom": [{"configMapRef": {"name": "program"}}],
            "env": [
                {"name": "WHERE", "value": "/prog"},
                {"name": "INDEX", "valueFrom": {"fieldRef": {
                    "fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']",
                }}},
                {"name": "BOTH", "value": "$(INDEX)-$(k)"},
                {"name": "OMP_NUM_THREADS", "value": "4"},
            ],
        },
    )  # fmt: skip
    await here.create(body)
    assert (await here.ended("env"))["status"]["phase"] == "Succeeded"
    seen = json.loads(await here.logs("env"))
    assert seen["INDEX"] == "5"
    assert seen["BOTH"] == "5-v"
    assert seen["WHERE"].startswith(str(here.directory))
    assert seen["HOSTNAME"] == "env"
    assert (seen["OMP_NUM_THREADS"], seen["GLOO_SOCKET_IFNAME"], seen["CUDA_VISIBLE_DEVICES"]) == ("4", "lo", "")
    assert seen["HOME"].startswith(str(here.directory))
    assert "PYTEST_CURRENT_TEST" not in seen  # nothing of the agent's own environment


async def test_a_missing_config_map_is_waited_for(here: Bench) -> None:
    volume = {"name": "p", "configMap": {"name": "later"}}
    mount = {"volumeMounts": [{"name": "p", "mountPath": "/p"}]}
    await here.create(pod("waits", ["cat", "/p/a"], volumes=[volume], container=mount))
    event = await here.event("waits", "FailedMount")
    assert event["message"] == 'MountVolume.SetUp failed for volume "p" : configmap "later" not found'
    assert state_reason(await here.client.get(PODS, "waits", "default")) == "ContainerCreating"
    await here.config("later", a="it came")
    assert (await here.ended("waits"))["status"]["phase"] == "Succeeded"
    assert await here.logs("waits") == "it came\n" or await here.logs("waits") == "it came"


async def test_a_missing_key_is_a_config_error(here: Bench) -> None:
    variable = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "a"}}}
    await here.create(pod("nokey", "print(1)", container={"env": [variable]}))
    found = await here.until("nokey", lambda p: state_reason(p) == "CreateContainerConfigError")
    assert state(found)["waiting"]["message"] == 'configmap "none" not found'
    await here.config("none", a="1")
    await here.ended("nokey")


async def test_a_deadline(here: Bench) -> None:
    await here.create(pod("late", "import time; time.sleep(60)", activeDeadlineSeconds=1))
    found = await here.ended("late")
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert found["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    assert state(found)["terminated"]["exitCode"] == 143


async def test_a_pod_that_does_not_fit_is_rejected(here: Bench) -> None:
    def wants(name: str, count: int) -> dict:
        resources = {"resources": {"limits": {"nvidia.com/gpu": str(count)}}}
        return pod(name, "import time; time.sleep(60)", GPU, container=resources)

    await here.create(wants("fits", 2))
    await here.running("fits")
    await here.create(wants("more", 1))
    found = await here.ended("more")
    assert found["status"]["reason"] == "OutOfnvidia.com/gpu"
    assert "requested: 1, used: 2, capacity: 2" in found["status"]["message"]


async def test_what_a_container_leaves_behind_ends_with_it(here: Bench, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
        "print(subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid)"
    )
    await here.create(pod("leaves", code))
    await here.ended("leaves")
    pids = (await here.logs("leaves")).split()
    assert len(pids) == 2
    for _ in range(100):
        if not any(alive(int(pid)) for pid in pids):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a process is left")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_the_agents_end_ends_the_pods(tmp_path: Path) -> None:
    async with bench(tmp_path / "pods") as here:
        await here.create(pod("stays", "import os, time; print(os.getpid(), flush=True); time.sleep(300)"))
        pid = int((await here.log_has("stays", "\n")).strip())
        assert alive(pid)
    assert not alive(pid)


async def test_a_sidecar_runs_beside_and_ends_after(here: Bench) -> None:
    sidecar = {
        "name": "side", "image": "python", "restartPolicy": "Always",
        "command": ["python3", "-c", "import time; print('side', flush=True); time.sleep(300)"],
    }  # fmt: skip
    await here.create(pod("pair", "print('main')", initContainers=[sidecar]))
    found = await here.ended("pair")
    assert found["status"]["phase"] == "Succeeded"
    assert found["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


async def test_a_pod_whose_files_cannot_be_written_fails_alone(here: Bench) -> None:
    await here.create(pod("other", "print(2)"))
    await here.config("clash", a="1")
    items = [{"key": "a", "path": "x"}, {"key": "a", "path": "x/y"}]
    await here.create(
        pod("clashes", "print(1)", volumes=[{"name": "v", "configMap": {"name": "clash", "items": items}}])
    )
    found = await here.ended("clashes")
    assert found["status"]["reason"] == "NodeAgentError"
    assert (await here.ended("other"))["status"]["phase"] == "Succeeded"
    await here.client.delete(PODS, "clashes", "default")
    await here.gone("clashes")
