"""Deletion: options, preconditions, finalizers, collections."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.cluster.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, LEASES, NAMESPACES, PODS, SECRETS, SERVICES, Resource
from tests.contract.both import Both, Side
from tests.contract.mistakes import as_mistakes
from tests.contract.samples import ECHO, config_map, sample

HOLD, MORE = "example.com/hold", "example.com/more"
NO_UID = "11111111-1111-1111-1111-111111111111"
# A real server answers 500 to some mistakes of a client; here they are called what they are.
RULES = [*ECHO, (r"in record \(\d+\)", "in record (<version>)"), (r"in object meta: \d+", "in object meta: <version>")]
NAMED = pytest.mark.parametrize("resource", [CONFIG_MAPS, PODS, JOBS, LEASES, SERVICES], ids=lambda each: each.plural)


@NAMED
async def test_finalizers_of_an_object_being_deleted(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        for name, last in (
            ("patched", ({"metadata": {"finalizers": None}}, MERGE_PATCH)),
            ("emptied", ({"metadata": {"finalizers": []}}, MERGE_PATCH)),
            ("steps", ([{"op": "remove", "path": "/metadata/finalizers"}], JSON_PATCH)),
            (
                "step",
                (
                    [
                        {"op": "remove", "path": "/metadata/finalizers/0"},
                        {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
                    ],
                    JSON_PATCH,
                ),
            ),
            ("put", None),
        ):
            path = side.path(resource, name)
            await side.ask("POST", side.path(resource), sample(resource, name, side.namespace, finalizers=[HOLD, MORE]))
            await side.ask("DELETE", path, params={"propagationPolicy": "Background", "gracePeriodSeconds": "0"})
            await side.ask("DELETE", path, params={"propagationPolicy": "Background", "gracePeriodSeconds": "0"})
            for finalizers in (
                [HOLD, MORE, "example.com/new"],
                ["example.com/new"],
                ["example.com/new", "example.com/other"],
                [HOLD, "example.com/new"],
            ):
                await side.ask("PATCH", path, {"metadata": {"finalizers": finalizers}}, content_type=MERGE_PATCH)
            await side.ask("PATCH", path, {"metadata": {"labels": {"still": "here"}}}, content_type=MERGE_PATCH)
            await side.ask("PATCH", path, {"metadata": {"deletionTimestamp": None}}, content_type=MERGE_PATCH)
            await side.ask("PATCH", path, {"metadata": {"finalizers": [MORE]}}, content_type=MERGE_PATCH)
            await side.ask(
                "PATCH", path, {"metadata": {"finalizers": None}}, params={"dryRun": "All"}, content_type=MERGE_PATCH
            )
            found = (await side.ask("GET", path))["body"]
            if last is None:
                found["metadata"]["finalizers"] = []
                await side.ask("PUT", path, found)
            else:
                await side.ask("PATCH", path, last[0], content_type=last[1])
            await side.ask("GET", path)
        return as_mistakes(side.transcript)

    await both.compare(scenario, kind=resource.kind, feature="finalizers of an object being deleted", rules=RULES)


@NAMED
async def test_preconditions(both: Both, resource: Resource):
    async def scenario(side: Side) -> Any:
        path = side.path(resource, "x")
        made = (await side.ask("POST", side.path(resource), sample(resource, "x", side.namespace)))["body"]["metadata"]
        uid, version = made["uid"], made["resourceVersion"]
        background = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
        for preconditions in (
            {"uid": NO_UID}, {"resourceVersion": "1"}, {"uid": NO_UID, "resourceVersion": "1"}, {"uid": uid, "resourceVersion": "1"},
            {"uid": NO_UID, "resourceVersion": version}, {"resourceVersion": "x"}, {"uid": 7},
        ):  # fmt: skip
            await side.ask("DELETE", path, {**background, "preconditions": preconditions})
            await side.ask("DELETE", path, {**background, "preconditions": preconditions, "dryRun": ["All"]})
        for metadata in (
            *([] if resource is JOBS else [{"uid": NO_UID}]),  # labels of a job are bound to its uid, which is another matter
            {"resourceVersion": "1"}, {"uid": NO_UID, "resourceVersion": "1"}, {"uid": uid, "resourceVersion": version, "labels": {"a": "b"}},
            {"resourceVersion": "x"}, {"resourceVersion": "0", "labels": {"a": "c"}}, {"resourceVersion": ""}, {"resourceVersion": None},
        ):  # fmt: skip
            await side.ask("PATCH", path, {"metadata": metadata}, content_type=MERGE_PATCH)
            await side.ask("PATCH", path, {"metadata": metadata}, content_type="application/strategic-merge-patch+json")
        found = (await side.ask("GET", path))["body"]
        for metadata in (
            {"uid": NO_UID},
            {"resourceVersion": "1"},
            {"resourceVersion": "x"},
            {"resourceVersion": "0"},
            {"uid": ""},
            {"uid": NO_UID, "resourceVersion": ""},
        ):
            await side.ask("PUT", path, {**found, "metadata": {**found["metadata"], **metadata}})
        await side.ask("DELETE", path, {**background, "preconditions": {"uid": uid}})
        await side.ask("GET", path)
        return as_mistakes(side.transcript)

    await both.compare(scenario, kind=resource.kind, feature="uid and resourceVersion as preconditions", rules=RULES)


async def test_options_of_deletion(both: Both):
    async def scenario(side: Side) -> Any:
        path = side.path(CONFIG_MAPS, "x")
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x"))
        for body in (
            {"propagationPolicy": "Odd"}, {"propagationPolicy": "background"}, {"propagationPolicy": ""}, {"propagationPolicy": 7}, {"propagationPolicy": "Orphan", "orphanDependents": True},
            {"propagationPolicy": "Odd", "orphanDependents": False}, {"dryRun": ["Some"]}, {"dryRun": ["All", "Some"]}, {"dryRun": "All"}, {"dryRun": [""]},
            {"propagationPolicy": "Odd", "dryRun": ["Some"]}, {"gracePeriodSeconds": "5"}, {"gracePeriodSeconds": 1.5}, {"gracePeriodSeconds": -7}, {"gracePeriodSeconds": 10**20},
            {"kind": "DeleteOptions"}, {"apiVersion": "v1"}, {"kind": "DeleteOptions", "apiVersion": "v7"}, {"kind": "DeleteOptions", "apiVersion": "batch/v1"}, {"kind": "ConfigMap", "apiVersion": "v1"},
            {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}, {"unknown": 1}, {"preconditions": []}, {"preconditions": {"what": 1}}, {"ignoreStoreReadErrorWithClusterBreakingPotential": True},
        ):  # fmt: skip
            await side.ask("DELETE", path, {"dryRun": ["All"], **body})
        for raw in (b"{", b"[]", b"null", b'"x"', b"{}", b"  ", b"a: b"):
            await side.ask("DELETE", path, raw, params={"dryRun": "All"})
            await side.ask("POST", side.path(CONFIG_MAPS), config_map("x"))
        for params in (
            {"propagationPolicy": "Odd"}, {"propagationPolicy": ""}, {"propagationPolicy": "Orphan", "orphanDependents": "true"}, {"orphanDependents": "x"}, {"orphanDependents": ""},
            {"gracePeriodSeconds": "x"}, {"gracePeriodSeconds": ""}, {"gracePeriodSeconds": "-1"}, {"gracePeriodSeconds": "99999999999999999999"}, {"dryRun": "Some"}, {"what": "x"},
            {"gracePeriodSeconds": "1.5"}, {"preconditions": "x"}, {"uid": NO_UID}, {"resourceVersion": "1"}, {"resourceVersion": "x"}, {"uid": ""}, {"ignoreStoreReadErrorWithClusterBreakingPotential": "true"},
        ):  # fmt: skip
            await side.ask("DELETE", path, params={"dryRun": "All", **params})
        await side.ask("DELETE", path, {"gracePeriodSeconds": 0}, params={"dryRun": "All"})  # the body wins
        await side.ask("GET", path)
        for kind in ("application/yaml", "text/plain", "application/xml", ""):
            await side.ask("DELETE", path, b"dryRun: [All]", content_type=kind)
        return as_mistakes(side.transcript)

    await both.compare(scenario, kind="*", feature="options of deletion: 400, 415, 422", rules=RULES)


async def test_collections(both: Both):
    async def scenario(side: Side) -> Any:
        path = side.path(CONFIG_MAPS)
        for index in range(6):
            labels = {"in": "set", "n": str(index), "odd": str(index % 2)}
            await side.ask(
                "POST", path, config_map(f"c{index}", labels=labels, finalizers=[HOLD] if index == 5 else [])
            )
        only = {"labelSelector": "in=set"}
        for params in (
            {"labelSelector": "in=set,odd=1,("}, {"fieldSelector": "data.a=1"}, {"fieldSelector": "="}, {**only, "limit": "x"}, {**only, "continue": "x"}, {**only, "resourceVersion": "x"},
            {**only, "resourceVersionMatch": "Odd"}, {**only, "propagationPolicy": "Odd"}, {**only, "dryRun": "Some"}, {**only, "watch": "1", "dryRun": "All"}, {**only, "limit": "2", "dryRun": "All"},
            {**only, "timeoutSeconds": "x"}, {**only, "sendInitialEvents": "1"},         ):  # fmt: skip
            await side.ask("DELETE", path, params=params)
        await side.ask("DELETE", path, {"preconditions": {"uid": NO_UID}}, params=only)
        await side.ask("DELETE", path, {"preconditions": {"resourceVersion": "1"}}, params=only)
        await side.ask("GET", path, params=only)
        await side.ask("DELETE", path, params={**only, "resourceVersion": "0", "dryRun": "All"})  # a precondition, too
        await side.ask("DELETE", path, params={**only, "uid": NO_UID, "dryRun": "All"})
        await side.ask("DELETE", path, params={**only, "limit": "1"})
        await side.ask("GET", path, params=only)
        await side.ask("DELETE", path, params={"fieldSelector": "metadata.name=c3", **only})
        await side.ask("DELETE", path, {"propagationPolicy": "Foreground"}, params={"labelSelector": "in=set,odd=0"})
        await side.ask("GET", path, params=only)
        await side.ask("DELETE", path, params=only)
        await side.ask("GET", path, params=only)
        await side.ask("DELETE", path, params={"labelSelector": "in=nothing"})
        return as_mistakes(side.transcript)

    await both.compare(scenario, kind="*", feature="delete of a collection: limits, selectors, options", rules=RULES)


async def test_a_name_taken_again(both: Both):
    async def scenario(side: Side) -> Any:
        for resource in (CONFIG_MAPS, SECRETS, PODS):
            path = side.path(resource, "x")
            await side.ask("POST", side.path(resource), sample(resource, "x", side.namespace, finalizers=[HOLD]))
            await side.ask("DELETE", path, params={"gracePeriodSeconds": "0"})
            await side.ask("POST", side.path(resource), sample(resource, "x", side.namespace))
            await side.ask(
                "PATCH",
                path,
                sample(resource, "x", side.namespace),
                params={"fieldManager": "m", "force": "true"},
                content_type=APPLY_PATCH,
            )
            await side.ask("PATCH", path + "/status", {"metadata": {"finalizers": []}}, content_type=MERGE_PATCH)
            await side.ask("PATCH", path, {"metadata": {"finalizers": []}}, content_type=MERGE_PATCH)
            await side.ask("POST", side.path(resource), sample(resource, "x", side.namespace))
        await side.ask("DELETE", NAMESPACES.path(None, "default"))
        await side.ask("DELETE", NAMESPACES.path(None, side.namespace), {"preconditions": {"uid": NO_UID}})
        await side.ask("DELETE", NAMESPACES.path(None, side.namespace), {"preconditions": {"resourceVersion": "1"}})
        return as_mistakes(side.transcript)

    await both.compare(scenario, kind="*", feature="names of objects being deleted", rules=RULES)
