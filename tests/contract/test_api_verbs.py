"""Every verb, on both servers."""

from __future__ import annotations

from gke_notebook.cluster.resources import CONFIG_MAPS
from tests.contract.both import Both, Side


async def test_a_config_map_is_created_read_and_deleted(both: Both):
    async def scenario(side: Side) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
        await side.ask("POST", side.path(CONFIG_MAPS), body)
        await side.ask("POST", side.path(CONFIG_MAPS), body)
        await side.ask("GET", side.path(CONFIG_MAPS, "a"))
        await side.ask("DELETE", side.path(CONFIG_MAPS, "a"))
        await side.ask("GET", side.path(CONFIG_MAPS, "a"))

    await both.compare(scenario, kind="ConfigMap", feature="create, get, delete")
