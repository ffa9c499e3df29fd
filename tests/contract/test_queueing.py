"""Queueing with Kueue's own objects: our controller beside the real Kueue."""

from __future__ import annotations

from gke_notebook.sandbox.controllers.jobset_controller import JOBSETS
from tests.contract.both import Both, Side


async def test_jobsets_are_served_beside_kueue(both_queues: Both):
    async def scenario(side: Side) -> list[object]:
        found = await side.client.list(JOBSETS, side.namespace)
        return [found["kind"], found["items"]]

    await both_queues.compare(scenario, kind="JobSet", feature="is served")
