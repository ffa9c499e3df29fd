"""Pod Security by the labels of a namespace, on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import JOBS, NAMESPACES, PODS
from tests.contract.both import Both, Side

Object = dict[str, Any]
SAFE = {
    "allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def pod(name: str, context: Object | None = None, container: Object | None = None, **spec: Any) -> Object:
    one = {"name": "main", "image": "x", **({"securityContext": context} if context is not None else {})}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{**one, **(container or {})}], **spec},
    }  # fmt: skip


PODS_OF_ALL_SORTS = [
    pod("plain"),
    pod("safe", SAFE),
    pod("privileged", {**SAFE, "privileged": True, "allowPrivilegeEscalation": True}),
    pod("host", SAFE, hostNetwork=True, hostPID=True, hostIPC=True),
    pod("path", SAFE, volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/x"}}]),
    pod("nfs", SAFE, volumes=[{"name": "a", "nfs": {"server": "s", "path": "/"}}, {"name": "e", "emptyDir": {}}]),
    pod("ports", SAFE, {"ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 443}]}),
    pod("caps", {**SAFE, "capabilities": {"add": ["SYS_TIME", "CHOWN", "NET_ADMIN"]}}),
    pod("bind", {**SAFE, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
    pod("proc", {**SAFE, "procMount": "Unmasked"}, hostUsers=False),
    pod("selinux", {**SAFE, "seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}}),
    pod("engine", {**SAFE, "seLinuxOptions": {"type": "container_engine_t"}}),
    pod("seccomp", {**SAFE, "seccompProfile": {"type": "Unconfined"}}),
    pod("armour", {**SAFE, "appArmorProfile": {"type": "Unconfined"}}),
    pod("sysctls", SAFE, securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"},
                                                      {"name": "net.ipv4.tcp_rmem", "value": "1"}]}),
    pod("root", {**SAFE, "runAsUser": 0, "runAsNonRoot": False}),
    pod("by-pod", {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}),
    pod("bad-pod", SAFE, securityContext={"runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"},
                                          "runAsUser": 0, "seLinuxOptions": {"level": "s0", "user": "u"}}),
    pod("probe", SAFE, {"livenessProbe": {"httpGet": {"host": "a.example", "port": 80}},
                        "lifecycle": {"preStop": {"tcpSocket": {"host": "b.example", "port": 80}}}}),
    pod("two", None, None, initContainers=[{"name": "first", "image": "x"}, {"name": "second", "image": "x"}]),
]  # fmt: skip


async def labelled(side: Side, **labels: str) -> Object:
    """Set the labels; a real server learns of them by a watch."""
    wanted = {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in labels.items()}
    path = NAMESPACES.path(None, side.namespace)
    answer = await side.ask("PATCH", path, {"metadata": {"labels": wanted}}, content_type=MERGE_PATCH, record=False)
    await asyncio.sleep(0.5)
    return answer


def said(answer: Object) -> Any:
    if answer["status"] < 300:
        return [answer["status"], answer["headers"].get("Warning")]
    body = answer["body"]
    return [answer["status"], body["reason"], body["message"], body.get("details")]


@pytest.mark.parametrize("version", ["latest", "v1.20", "v1.30"])
@pytest.mark.parametrize("level", ["baseline", "restricted"])
async def test_levels_word_for_word(both: Both, level: str, version: str):
    async def scenario(side: Side) -> Any:
        await labelled(side, enforce=level, enforce_version=version)
        found = []
        for body in PODS_OF_ALL_SORTS:
            answer = await side.ask("POST", side.path(PODS), body, params={"dryRun": "All"})
            found.append([body["metadata"]["name"], said(answer)])
        return found

    await both.compare(scenario, kind="Pod", feature=f"Pod Security: {level}")


async def test_workloads_are_warned_of(both: Both):
    async def scenario(side: Side) -> Any:
        template = {"spec": {**pod("x")["spec"], "restartPolicy": "Never"}}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "j"},
            "spec": {"suspend": True, "template": template},
        }
        found = []
        for labels in (
            {"enforce": "restricted"},
            {"warn": "baseline", "enforce": "restricted"},
            {"audit": "restricted"},
        ):
            blank = {"enforce": None, "warn": None, "audit": None}
            await labelled(side, **{**blank, **labels})
            found.append(said(await side.ask("POST", side.path(JOBS), job, params={"dryRun": "All"})))
            found.append(said(await side.ask("POST", side.path(PODS), pod("p"), params={"dryRun": "All"})))
        await labelled(side, enforce="baseline", warn="restricted", warn_version="v1.25")
        found.append(said(await side.ask("POST", side.path(PODS), pod("p"))))
        change = {"metadata": {"labels": {"a": "b"}}}
        found.append(said(await side.ask("PATCH", side.path(PODS, "p"), change, content_type=MERGE_PATCH)))
        return found

    await both.compare(scenario, kind="Job", feature="Pod Security warnings")


async def test_a_namespace_says_what_its_pods_break(both: Both):
    async def scenario(side: Side) -> Any:
        for body in (pod("a"), pod("b"), pod("c", hostNetwork=True), pod("d", SAFE)):
            await side.client.create(PODS, body, side.namespace)
        await asyncio.sleep(0.5)  # a real server learns of pods by a watch
        found = [
            said(await labelled(side, enforce="restricted")),
            said(await labelled(side, enforce="baseline")),
            said(await labelled(side, enforce="privileged")),
            said(await labelled(side, enforce="baseline")),
            said(await labelled(side, enforce="strict", warn_version="1.30")),
        ]
        labels = {"pod-security.kubernetes.io/enforce": "tight", "pod-security.kubernetes.io/audit-version": "v2.0"}
        wrong = {"metadata": {"name": f"{side.namespace}-x", "labels": labels}}
        found.append(said(await side.ask("POST", NAMESPACES.path(None), wrong)))
        return found

    await both.compare(scenario, kind="Namespace", feature="Pod Security labels")
