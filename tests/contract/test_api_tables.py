"""Tables, as `kubectl get` and `kubectl get -o wide` ask for them, on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gke_notebook.cluster.resources import Resource
from tests.contract.both import Both, Side
from tests.contract.samples import ECHO, RESOURCE_QUOTAS, SAMPLES, sample, without_controllers, without_descriptions

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
AGE = (r"^\d+[smhd](\d+[smhd])?$", "<age>")


async def written(side: Side, names: list[str]) -> None:
    """Wait for the status of quotas."""
    for name in names:
        for _ in range(600):
            answer = await side.ask("GET", side.path(RESOURCE_QUOTAS, name), record=False)
            if answer["body"].get("status"):
                break
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("resource", SAMPLES, ids=lambda each: each.plural)
async def test_tables(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        names = [f"{side.namespace}-{letter}" for letter in "ab"]
        for name in names:
            body = sample(resource, name, side.namespace, labels={"in": side.namespace})
            await side.ask("POST", side.path(resource), body, record=False)
        if resource is RESOURCE_QUOTAS:  # its cells are what its controller has counted
            await written(side, names)
        selected = {"labelSelector": f"in={side.namespace}"}
        await side.ask("GET", side.path(resource), params={**selected, "includeObject": "None"}, headers=TABLE)
        await side.ask("GET", side.path(resource, names[0]), params={"includeObject": "None"}, headers=TABLE)
        await side.ask("GET", side.path(resource, "nothing"), headers=TABLE)
        return without_descriptions(without_controllers(side.transcript))

    await both.compare(scenario, kind=resource.kind, feature="table of get and get -o wide", rules=[*ECHO, AGE])
