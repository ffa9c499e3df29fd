"""What a watch tells of the end of pods, on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, PODS
from tests.contract.both import Both, Side

Object = dict[str, Any]


def pod(name: str, metadata: Object | None = None, **spec: Any) -> Object:
    spec = {"schedulerName": "nobody", "containers": [{"name": "main", "image": "x"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})}, "spec": spec}


async def _events(side: Side, resource: Any, name: str, version: str) -> list[Any]:
    """Give what came of an object since a version, up to its end."""
    params = {"watch": "1", "resourceVersion": version, "fieldSelector": f"metadata.name={name}"}
    response = await side.client.open("GET", side.path(resource), params=params, timeout=60)
    found = []
    try:
        async for line in response.content:
            event = msgspec.json.decode(line)
            meta = event["object"]["metadata"]
            keys = ("deletionGracePeriodSeconds", "finalizers", "labels", "generation")
            ending = "deletionTimestamp" in meta
            found.append([event["type"], ending, {key: meta.get(key) for key in keys}, event["object"].get("status")])
            if event["type"] == "DELETED":
                return found
    finally:
        response.release()
    raise AssertionError(f"{name} does not end: {found}")


async def test_each_way_to_end(both: Both):
    async def scenario(side: Side) -> Any:
        told = {}
        ways: dict[str, tuple[Object, list[Object]]] = {
            "no-node": (pod("no-node"), [{}]),
            "at-once": (pod("at-once", nodeName="nowhere"), [{"grace_period": 0}]),
            "hurried": (pod("hurried", nodeName="nowhere"), [{"grace_period": 60}, {"grace_period": 0}]),
            "without-grace": (pod("without-grace", nodeName="nowhere", terminationGracePeriodSeconds=0), [{}]),
            "held": (pod("held", {"finalizers": ["example.com/a"], "labels": {"a": "b"}}), [{}]),
            "dependents-first": (pod("dependents-first"), [{"propagation": "Foreground"}]),
        }
        for name, (body, deletions) in ways.items():
            made = await side.client.create(PODS, body, side.namespace)
            watching = asyncio.create_task(_events(side, PODS, name, made["metadata"]["resourceVersion"]))
            for how in deletions:
                await side.client.delete(PODS, name, side.namespace, **how)
            if name == "held":
                change = {"metadata": {"finalizers": None, "labels": {"a": "c"}}}
                await side.client.patch(PODS, name, change, side.namespace, content_type=MERGE_PATCH)
            told[name] = await watching
        return told

    await both.compare(scenario, kind="Pod", feature="watch events of each way to end")


async def test_the_last_finalizer(both: Both):
    async def scenario(side: Side) -> Any:
        body = {"metadata": {"name": "held", "finalizers": ["example.com/a"]}, "data": {"a": "b"}}
        made = await side.client.create(CONFIG_MAPS, body, side.namespace)
        watching = asyncio.create_task(_events(side, CONFIG_MAPS, "held", made["metadata"]["resourceVersion"]))
        await side.client.delete(CONFIG_MAPS, "held", side.namespace)
        change = {"metadata": {"finalizers": None}, "data": {"a": "c"}}
        await side.ask("PATCH", side.path(CONFIG_MAPS, "held"), change, content_type=MERGE_PATCH)
        return [await watching, side.transcript]

    await both.compare(scenario, kind="ConfigMap", feature="watch events when the last finalizer goes")
