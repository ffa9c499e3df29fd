"""Server-side apply and deletion, on both servers."""

from __future__ import annotations

from typing import Any

from gke_notebook.cluster.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS
from tests.contract.both import Both, Side
from tests.contract.samples import ECHO, config_map


async def test_apply_by_two_managers(both: Both):
    async def apply(side: Side, manager: str, data: Any, **params: str) -> None:
        given = {"fieldManager": manager, **params}
        path = side.path(CONFIG_MAPS, "c")
        await side.ask("PATCH", path, config_map("c", data), params=given, content_type=APPLY_PATCH)

    async def scenario(side: Side) -> None:
        await apply(side, "one", {"a": "1", "b": "1"})
        await apply(side, "two", {"b": "2", "c": "2"})  # a conflict
        await apply(side, "two", {"b": "1", "c": "2"})  # the same value: shared
        await apply(side, "one", {"a": "2"})  # gives up b, which the other keeps
        await apply(side, "two", {"a": "3", "b": "3"}, force="true")  # takes a, drops c
        await apply(side, "three", {"a": "4", "b": "4"})  # several conflicts
        await apply(side, "one", {}, dryRun="All")
        change = {"data": {"b": "5"}}
        await side.ask("PATCH", side.path(CONFIG_MAPS, "c"), change, content_type=MERGE_PATCH)
        await apply(side, "two", {"b": "6"})
        change = {"metadata": {"managedFields": [{}]}}
        await side.ask("PATCH", side.path(CONFIG_MAPS, "c"), change, content_type=MERGE_PATCH)
        await apply(side, "two", {"b": "7"}, force="true")

    await both.compare(scenario, kind="*", feature="server-side apply: conflicts, force, ownership", rules=ECHO)


async def test_deletion(both: Both):
    async def scenario(side: Side) -> None:
        path = side.path(CONFIG_MAPS, "c")
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("c", finalizers=["example.com/hold"]))
        await side.ask("DELETE", path, {"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}})
        await side.ask("DELETE", path, {"preconditions": {"resourceVersion": "1"}}, record=False)
        await side.ask("DELETE", path)
        await side.ask("DELETE", path)
        step = [{"op": "remove", "path": "/metadata/finalizers"}]
        await side.ask("PATCH", path, step, content_type=JSON_PATCH, record=False)
        await side.ask("GET", path)

    await both.compare(scenario, kind="*", feature="deletion: finalizers, preconditions", rules=ECHO)
