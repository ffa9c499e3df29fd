"""Tables, as `kubectl get` and `kubectl get -o wide` ask for them, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.cluster.resources import Resource
from tests.contract.both import Both, Side
from tests.contract.samples import ECHO, SAMPLES, sample, without_descriptions, without_node_controllers

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
AGE = (r"^\d+[smhd](\d+[smhd])?$", "<age>")


@pytest.mark.parametrize("resource", SAMPLES, ids=lambda each: each.plural)
async def test_tables(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        names = [f"{side.namespace}-{letter}" for letter in "ab"]
        for name in names:
            body = sample(resource, name, side.namespace, labels={"in": side.namespace})
            await side.ask("POST", side.path(resource), body, record=False)
        selected = {"labelSelector": f"in={side.namespace}"}
        await side.ask("GET", side.path(resource), params={**selected, "includeObject": "None"}, headers=TABLE)
        await side.ask("GET", side.path(resource, names[0]), params={"includeObject": "None"}, headers=TABLE)
        await side.ask("GET", side.path(resource, "nothing"), headers=TABLE)
        return without_descriptions(without_node_controllers(side.transcript))

    await both.compare(scenario, kind=resource.kind, feature="table of get and get -o wide", rules=[*ECHO, AGE])
