"""Every verb on every kind, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.cluster.client import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from gke_notebook.cluster.resources import NAMESPACES, NODES, Resource
from gke_notebook.sandbox.apiserver.crd.definition_rules import DEFINITIONS
from gke_notebook.sandbox.apiserver.kinds import KINDS as SERVED
from tests.contract.both import Both, Side
from tests.contract.samples import POLICIES, RESOURCE_QUOTAS, SAMPLES, sample, without_controllers

KINDS = pytest.mark.parametrize("resource", SAMPLES, ids=lambda each: each.plural)
WITH_STATUS = ("Pod", "Job", "Namespace", "Node", "Service")
# A definition's name hangs on its content: tests/contract/test_crd_objects.py and test_crd_upstream.py.
WITHOUT_SAMPLE = {"customresourcedefinitions.apiextensions.k8s.io"}
# What is answered and not kept: tests/contract/test_rbac_access.py and test_kubectl_outputs.py.
NOT_KEPT = {
    "localsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
}
LABEL = {"metadata": {"labels": {"team": "research"}}}


def names(side: Side, count: int) -> list[str]:
    """Give names that are new in the whole cluster, for kinds without a namespace."""
    return [f"{side.namespace}-{letter}" for letter in "abcdefgh"[:count]]


def answers(side: Side, resource: Resource) -> Any:
    """Give what was written down, without what controllers add."""
    return without_controllers(side.transcript) if resource in (NODES, POLICIES, RESOURCE_QUOTAS) else side.transcript


def test_every_kind_that_is_served_has_a_sample():
    served = {kind.resource_name: kind.stored for kind in (*SERVED, DEFINITIONS)}
    sampled = {f"{each.plural}.{each.group}" if each.group else each.plural for each in SAMPLES}
    assert {name for name, stored in served.items() if stored} == sampled | WITHOUT_SAMPLE
    assert {name for name, stored in served.items() if not stored} == NOT_KEPT


@KINDS
async def test_create_read_change_delete(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        first, *_ = names(side, 1)
        path = side.path(resource, first)
        body = sample(resource, first, side.namespace)
        await side.ask("GET", path)
        await side.ask("POST", side.path(resource), body)
        await side.ask("POST", side.path(resource), body)
        found = (await side.ask("GET", path))["body"]
        await side.ask("PATCH", path, LABEL, content_type=MERGE_PATCH)
        await side.ask("PATCH", path, LABEL, content_type=MERGE_PATCH)  # changes nothing
        await side.ask("PUT", path, found)  # an old version
        found["metadata"].pop("resourceVersion")
        found["metadata"]["annotations"] = {"note": "x"}
        await side.ask("PUT", path, found)
        await side.ask("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, content_type=STRATEGIC_PATCH)
        change = [{"op": "replace", "path": "/metadata/labels/a", "value": "c"}]
        await side.ask("PATCH", path, change, content_type=JSON_PATCH)
        if resource is not NAMESPACES:
            background = {"propagationPolicy": "Background"}
            await side.ask("DELETE", path, params=background)
            await side.ask("GET", path)
            await side.ask("DELETE", path)
        return answers(side, resource)

    await both.compare(scenario, kind=resource.kind, feature="create, get, replace, patch, delete")


@KINDS
async def test_writes_to_what_does_not_exist(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        path = side.path(resource, "nowhere")
        body = sample(resource, "nowhere", side.namespace)
        await side.ask("PUT", path, {**body, "metadata": {"name": "other"}})
        await side.ask("PUT", path, {**body, "metadata": {"name": "nowhere", "uid": "x", "resourceVersion": "1"}})
        for kind in (MERGE_PATCH, STRATEGIC_PATCH):
            await side.ask("PATCH", path, LABEL, content_type=kind)
        await side.ask("PATCH", path, [], content_type=JSON_PATCH)
        await side.ask("DELETE", path)
        await side.ask("GET", path + "/status")
        await side.ask("GET", path + "/nothing")
        return answers(side, resource)

    await both.compare(scenario, kind=resource.kind, feature="replace, patch, delete of what does not exist")


@KINDS
async def test_status_is_a_resource_of_its_own(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        first, *_ = names(side, 1)
        path = side.path(resource, first)
        body = {**sample(resource, first, side.namespace)}
        if resource.kind in WITH_STATUS:
            body["status"] = {"conditions": [{"type": "Mine", "status": "True"}]}
        await side.ask("POST", side.path(resource), body)
        await side.ask("GET", path + "/status")
        condition = {
            "type": "Odd", "status": "True", "reason": "Because", "message": "so",
            "lastTransitionTime": "2026-11-24T10:00:00Z",
        }  # fmt: skip
        change = {"metadata": {"labels": {"x": "y"}}, "status": {"conditions": [condition]}}
        await side.ask("PATCH", path + "/status", change, content_type=STRATEGIC_PATCH)
        await side.ask("PATCH", path, {"status": {"conditions": None}}, content_type=MERGE_PATCH)
        await side.ask("GET", path)
        return answers(side, resource)

    await both.compare(scenario, kind=resource.kind, feature="status subresource")


@KINDS
async def test_collections_are_listed_and_deleted(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        selected = {"labelSelector": f"in={side.namespace}"}
        for name in names(side, 3):
            await side.ask(
                "POST", side.path(resource), sample(resource, name, side.namespace, labels={"in": side.namespace})
            )
        await side.ask("GET", side.path(resource), params=selected)
        await side.ask("GET", resource.path(), params=selected)
        await side.ask(
            "GET", side.path(resource), params={**selected, "fieldSelector": f"metadata.name={names(side, 2)[1]}"}
        )
        if resource is NAMESPACES:
            await side.ask("DELETE", side.path(resource), params=selected)  # refused: a collection of its own
            return answers(side, resource)
        await side.ask("DELETE", side.path(resource), params={**selected, "dryRun": "All"})
        await side.ask("DELETE", side.path(resource), params={**selected, "propagationPolicy": "Background"})
        await side.ask("GET", side.path(resource), params=selected)
        return answers(side, resource)

    await both.compare(scenario, kind=resource.kind, feature="list, delete of a collection")


@KINDS
async def test_dry_run_changes_nothing(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        dry = {"dryRun": "All"}
        first, second = names(side, 2)
        path = side.path(resource, first)
        await side.ask("POST", side.path(resource), sample(resource, first, side.namespace), params=dry)
        await side.ask("GET", path)
        await side.ask("POST", side.path(resource), sample(resource, first, side.namespace))
        await side.ask("POST", side.path(resource), sample(resource, first, side.namespace), params=dry)
        await side.ask("PATCH", path, LABEL, params=dry, content_type=MERGE_PATCH)
        found = (await side.ask("GET", path))["body"]
        await side.ask(
            "PUT", path, {**found, **LABEL, "metadata": {**found["metadata"], **LABEL["metadata"]}}, params=dry
        )
        await side.ask("DELETE", path, params=dry)
        await side.ask("GET", path)
        await side.ask("POST", side.path(resource), sample(resource, second, side.namespace), params={"dryRun": "Some"})
        return answers(side, resource)

    await both.compare(scenario, kind=resource.kind, feature="dry run")


@KINDS
async def test_generated_names(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        body = sample(resource, "x", side.namespace)
        body["metadata"] = {"generateName": f"{side.namespace}-g-"}
        await side.ask("POST", side.path(resource), body)
        body["metadata"] = {"generateName": "Bad_"}
        await side.ask("POST", side.path(resource), body)
        body["metadata"] = {}
        await side.ask("POST", side.path(resource), body)
        body["metadata"] = {"name": f"UPPER-{side.namespace}"}
        await side.ask("POST", side.path(resource), body)
        body["metadata"] = {"name": side.namespace + "x" * 300}
        await side.ask("POST", side.path(resource), body)
        return answers(side, resource)

    await both.compare(
        scenario,
        kind=resource.kind,
        feature="generated and invalid names",
        rules=[(r"Bad_[a-z0-9]{5}", "Bad_<random>")],
    )
