"""What goes when an owner or a namespace goes, in which order, and what is told meanwhile, on both servers."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gke_notebook.cluster.resources import CONFIG_MAPS, EVENTS, JOBS, NAMESPACES, PODS, SECRETS, Resource
from tests.contract.both import Both, Side
from tests.contract.samples import config_map, pod, sample

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
HELD = "example.com/held"


async def until(side: Side, resource: Resource, name: str, holds: Callable[[Object | None], bool]) -> Object | None:
    """Wait until an object, None when it is gone, is as it should be."""
    found: Object | None = None
    for _ in range(1200):
        answer = await side.ask("GET", side.path(resource, name), record=False)
        found = answer["body"] if answer["status"] == 200 else None
        if holds(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{side.name}: {resource.plural}/{name} stays as it is: {found}")


def gone(found: Object | None) -> bool:
    return found is None


def deleting(found: Object | None) -> bool:
    return found is not None and "deletionTimestamp" in found["metadata"]


async def owner(side: Side, name: str = "owner", **metadata: Any) -> Object:
    """Make a ConfigMap that others belong to."""
    made = await side.ask("POST", side.path(CONFIG_MAPS), config_map(name, **metadata))
    found: Object = made["body"]
    return found


def belongs(to: Object, **more: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": to["metadata"]["name"],
        "uid": to["metadata"]["uid"],
        **more,
    }


async def child(side: Side, name: str, owners: list[Object], **metadata: Any) -> None:
    await side.ask("POST", side.path(SECRETS), sample(SECRETS, name, ownerReferences=owners, **metadata))


async def collected(side: Side) -> None:
    """Wait until the collector knows of this namespace's objects: one that belongs to nobody is gone."""
    nobody = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "00000000-0000-0000-0000-000000000000"}
    body = sample(SECRETS, "of-nobody", ownerReferences=[nobody])
    await side.ask("POST", side.path(SECRETS), body, record=False)
    await until(side, SECRETS, "of-nobody", gone)


async def test_foreground(both: Both):
    async def scenario(side: Side) -> None:
        top = await owner(side)
        await child(side, "blocks", [belongs(top, blockOwnerDeletion=True)], finalizers=[HELD])
        await child(side, "does-not", [belongs(top)])
        await collected(side)
        path = side.path(CONFIG_MAPS, "owner")
        await side.ask("DELETE", path, params={"propagationPolicy": "Foreground"})
        await until(side, SECRETS, "blocks", deleting)
        await until(side, SECRETS, "does-not", gone)
        await side.ask("GET", path)
        await side.ask("GET", side.path(SECRETS, "blocks"))
        await side.ask("DELETE", path)  # once more: it waits as before
        await side.ask("PATCH", side.path(SECRETS, "blocks"), {"metadata": {"finalizers": None}}, content_type=MERGE)
        await until(side, CONFIG_MAPS, "owner", gone)
        await side.ask("GET", side.path(SECRETS, "blocks"))

    await both.compare(scenario, kind="*", feature="deletion in the foreground: blockOwnerDeletion, finalizers")


async def test_background_and_orphans(both: Both):
    async def scenario(side: Side) -> None:
        for name in "abc":
            top = await owner(side, name)
            await child(side, f"of-{name}", [belongs(top, controller=True, blockOwnerDeletion=True)])
            other = await owner(side, f"{name}2")
            await child(side, f"of-both-{name}", [belongs(top), belongs(other)])
        await collected(side)
        for name, policy in (("a", "Background"), ("b", "Orphan"), ("c", "")):
            await side.ask(
                "DELETE", side.path(CONFIG_MAPS, name), params={"propagationPolicy": policy} if policy else {}
            )
            await until(side, CONFIG_MAPS, name, gone)
        for name in ("of-a", "of-c"):
            await until(side, SECRETS, name, gone)
        for name in ("of-b", "of-both-a", "of-both-b", "of-both-c"):
            await until(side, SECRETS, name, lambda found: len(owners_of(found)) == (0 if found_is_b(found) else 1))
            await side.ask("GET", side.path(SECRETS, name))

    await both.compare(scenario, kind="*", feature="deletion in the background, orphans, several owners")


def owners_of(found: Object | None) -> list[Object]:
    return (found or {"metadata": {}})["metadata"].get("ownerReferences") or []


def found_is_b(found: Object | None) -> bool:
    return found is not None and found["metadata"]["name"] == "of-b"


async def test_owners_that_cannot_be(both: Both):
    async def scenario(side: Side) -> None:
        top = await owner(side)
        good = belongs(top)
        for owners in (
            [{**good, "uid": ""}], [{**good, "kind": ""}], [{**good, "name": ""}], [{**good, "apiVersion": ""}], [{**good, "apiVersion": "a/b/c"}],
            [{**good, "kind": "Event", "apiVersion": "v1"}], [{**good, "controller": True}, {**good, "name": "x", "uid": "y", "controller": True}], [good, good],
        ):  # fmt: skip
            await side.ask("POST", side.path(SECRETS), sample(SECRETS, "s", ownerReferences=owners))

    await both.compare(scenario, kind="*", feature="owner references: refusals, warnings")


@pytest.mark.parametrize("policy", ["foreground", "background", "orphan"])
async def test_kubectl_cascades(both: Both, policy: str):
    async def scenario(side: Side) -> None:
        top = await owner(side)
        await child(side, "child", [belongs(top, blockOwnerDeletion=True)])
        await collected(side)
        await side.run_kubectl("delete", "configmap", "owner", f"--cascade={policy}")
        wanted = (lambda found: not owners_of(found)) if policy == "orphan" else gone
        await until(side, SECRETS, "child", wanted)
        await side.run_kubectl("get", "secret", "child", "-o", "jsonpath={.metadata.ownerReferences}")

    await both.compare(scenario, kind="*", feature=f"kubectl delete --cascade={policy}")


def conditions(found: Object | None) -> dict[str, Object]:
    return {each["type"]: each for each in ((found or {}).get("status") or {}).get("conditions") or ()}


def is_held(found: Object | None) -> bool:
    """Tell whether a namespace has come to say that all that is left in it is held by finalizers."""
    known = conditions(found)
    remaining = known.get("NamespaceFinalizersRemaining", {})
    return remaining.get("status") == "True" and known["NamespaceContentRemaining"]["status"] == "True"


async def test_a_namespace_ends(both: Both):
    async def scenario(side: Side) -> Any:
        name = f"{side.namespace}-end"
        where = NAMESPACES.path(None, name)
        await side.ask("POST", NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for each, finalizers in (("a", [HELD]), ("b", [HELD, "example.com/other"]), ("c", [])):
            await side.ask("POST", CONFIG_MAPS.path(name), config_map(each, finalizers=finalizers), record=False)
        await side.ask("POST", SECRETS.path(name), sample(SECRETS, "s", finalizers=[HELD]), record=False)
        await side.ask("POST", JOBS.path(name), sample(JOBS, "j", finalizers=[HELD]), record=False)
        await side.ask("DELETE", where)
        found = await until(side, NAMESPACES, name, is_held)
        assert found is not None
        said: list[Any] = [each["body"] for each in side.transcript]
        said.append([found["spec"], found["status"]["phase"], conditions(found)])
        said.append(await side.run_kubectl("describe", "ns", name))
        for resource, body in ((CONFIG_MAPS, config_map("new")), (PODS, pod("p")), (EVENTS, sample(EVENTS, "e", name))):
            said.append(await side.ask("POST", resource.path(name), body, record=False))
        applied = {"fieldManager": "me"}
        said.append(
            await side.ask(
                "PATCH", CONFIG_MAPS.path(name, "new"), config_map("new"), params=applied, record=False,
                content_type="application/apply-patch+yaml",
            )
        )  # fmt: skip
        said.append(await side.ask("DELETE", where, record=False))
        said[-1] = [said[-1]["status"], said[-1]["body"].get("reason"), said[-1]["body"].get("message")]
        free = {"metadata": {"finalizers": None}}
        for resource, each in ((CONFIG_MAPS, "a"), (SECRETS, "s"), (JOBS, "j")):
            await side.ask("PATCH", resource.path(name, each), free, content_type=MERGE, record=False)
        found = await until(
            side, NAMESPACES, name,
            lambda item: "example.com/held in 1 " in conditions(item)["NamespaceFinalizersRemaining"]["message"]
            and "configmaps. has 1 " in conditions(item)["NamespaceContentRemaining"]["message"],
        )  # fmt: skip
        said.append(conditions(found))
        await side.ask("PATCH", CONFIG_MAPS.path(name, "b"), free, content_type=MERGE, record=False)
        await until(side, NAMESPACES, name, gone)
        said.append(await side.ask("GET", where, record=False))
        said.append(await side.ask("GET", CONFIG_MAPS.path(name), record=False))
        said.append(await side.ask("POST", CONFIG_MAPS.path(name), config_map("new"), record=False))
        return said

    await both.compare(
        scenario,
        kind="Namespace",
        feature="ends: conditions, refusals, order",
        rules=[(r"[A-Z][a-z]{2}, \d\d [A-Z].{20,25}", "<date>"), (r" {2,}|-{2,}", "  ")],
    )


async def test_a_namespace_is_held_by_its_own_finalizer(both: Both):
    async def scenario(side: Side) -> Any:
        name = f"{side.namespace}-own"
        metadata = {"name": name, "finalizers": [HELD]}
        where = NAMESPACES.path(None, name)
        await side.ask("POST", NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        await side.ask("DELETE", where, params={"propagationPolicy": "Foreground"}, record=False)
        found = await until(side, NAMESPACES, name, lambda item: not (item or {}).get("spec", {}).get("finalizers"))
        assert found is not None
        said: list[Any] = [found["spec"], found["status"]["phase"], found["metadata"]["finalizers"]]
        await side.ask("PATCH", where, {"metadata": {"finalizers": None}}, content_type=MERGE, record=False)
        await until(side, NAMESPACES, name, gone)
        said.append(await side.ask("GET", where, record=False))
        return said

    await both.compare(scenario, kind="Namespace", feature="ends: its own finalizer")
