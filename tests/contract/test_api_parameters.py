"""Parameters of reads and writes, one by one, on both servers."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.cluster.client import APPLY_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from gke_notebook.cluster.resources import (
    CONFIG_MAPS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from tests.contract.both import Both, Side
from tests.contract.mistakes import as_mistakes
from tests.contract.samples import ECHO, SAMPLES, config_map, pod, sample
from tests.contract.test_api_lists import some

NUMBERS = ("", "0", "-1", "x", "1.5", "1e3", " 1", "+1", "99999999999999999999", "0x1", "1_0")
FLAGS = ("", "0", "1", "false", "FALSE", "False", "f", "F", "no", "true", "t", "x")


async def test_watch_parameters(both: Both):
    async def scenario(side: Side) -> Any:
        versions = await some(side, 2)
        path = side.path(CONFIG_MAPS)
        only = {"labelSelector": "in=list", "resourceVersion": versions[1]}
        for flag in FLAGS:
            kind = await side.ask(
                "GET", path, params={**only, "watch": flag, "timeoutSeconds": "1", "resourceVersionMatch": "Odd"}
            )
            assert kind["status"] == 422
        for number in NUMBERS:
            await side.ask("GET", path, params={**only, "timeoutSeconds": number, "limit": "1"})
            await side.ask("GET", path, params={"labelSelector": "in=list", "limit": number, "resourceVersion": "x"})
        for version in ("x", "-1", "1.5", "99999999999999999999999", "0x1", "99999999999999999999"):
            await side.ask(
                "GET", path, params={**only, "watch": "1", "timeoutSeconds": "1", "resourceVersion": version}
            )
            await side.ask("GET", path, params={**only, "resourceVersion": version})
            await side.ask("GET", path + "/c0", params={"resourceVersion": version})
        for more in (
            {"labelSelector": "a b"}, {"fieldSelector": "a"}, {"fieldSelector": "data.x=1"}, {"continue": "x"}, {"limit": "x"}, {"sendInitialEvents": "false"},
            {"sendInitialEvents": "x", "resourceVersionMatch": "NotOlderThan", "continue": "x"}, {"resourceVersionMatch": "Exact"}, {"resourceVersionMatch": "Exact", "sendInitialEvents": "true"},
            {"allowWatchBookmarks": "x", "fieldSelector": "="},
        ):  # fmt: skip
            await side.ask("GET", path, params={**only, "watch": "1", "timeoutSeconds": "1", **more})
        return as_mistakes(side.transcript)

    await both.compare(scenario, kind="*", feature="parameters of watches and lists, well and ill formed", rules=ECHO)


async def test_pages_of_selected_objects(both: Both):
    async def scenario(side: Side) -> Any:
        await some(side, 6)
        path = side.path(CONFIG_MAPS)
        for params in (
            {"labelSelector": "in=list,parity=even"}, {"labelSelector": "n=5"}, {"labelSelector": "n=0"}, {"fieldSelector": "metadata.name!=c0"}, {"fieldSelector": "metadata.name=c0"},
            {"fieldSelector": "metadata.name=kube-root-ca.crt"}, {"labelSelector": "in=nothing"}, {"fieldSelector": f"metadata.namespace={side.namespace}"}, {"labelSelector": "in=list"},
        ):  # fmt: skip
            for limit in ("1", "2", "3", "6", "7"):
                token = ""
                for _ in range(8):
                    page = await side.ask(
                        "GET", path, params={"limit": limit, **params, **({"continue": token} if token else {})}
                    )
                    token = page["body"]["metadata"].get("continue", "")
                    if not token:
                        break
        first = await side.ask("GET", path, params={"limit": "1"})
        token = first["body"]["metadata"]["continue"]
        for more in (
            {"labelSelector": "n=4"},
            {"fieldSelector": "metadata.name=c3"},
            {"limit": "0"},
            {"resourceVersion": "0"},
            {"resourceVersionMatch": "Exact"},
            {"resourceVersion": "5"},
        ):
            await side.ask("GET", path, params={"continue": token, **more})
        await side.ask("GET", side.path(PODS), params={"continue": token})
        await side.ask("GET", side.path(SECRETS), params={"continue": token, "limit": "1"})

    await both.compare(scenario, kind="*", feature="limit, selectors and continue together", rules=ECHO)


async def test_selectable_fields_of_every_kind(both: Both):
    async def scenario(side: Side) -> None:
        for resource in SAMPLES:
            for field in (
                "metadata.name",
                "metadata.namespace",
                "status.phase",
                "spec.nodeName",
                "metadata.uid",
                "type",
                "spec.type",
                "status.successful",
                "spec.unschedulable",
                "reason",
                "x",
            ):
                selector = f"{field}=nothing-{side.namespace}"
                answer = await side.ask("GET", side.path(resource), params={"fieldSelector": selector})
                assert answer["status"] == 400 or answer["body"]["items"] == []

    await both.compare(scenario, kind="*", feature="selectable fields of every kind", rules=ECHO)


async def test_managers(both: Both):
    async def scenario(side: Side) -> None:
        path, dry = side.path(CONFIG_MAPS), {"dryRun": "All"}
        for manager in (
            "",
            "me",
            "x" * 128,
            "x" * 129,
            "a b",
            "a\nb",
            "a\tb",
            "\u00e9" * 64,
            "\u00e9" * 65,
            "\u200b",
            "a/b",
        ):
            await side.ask("POST", path, config_map("x"), params={**dry, "fieldManager": manager})
        for agent in (
            "kubectl/v1.34 (linux) x",
            "",
            "/",
            "a b/c",
            "x" * 200,
            "x/y/z",
            "a\tb/c",
            "caf\u00e9/1",
            " x/1",
            "(x)",
        ):
            await side.ask("POST", path, config_map("x"), params=dry, headers={"User-Agent": agent})
        await side.ask("POST", path, config_map("x"), params={"fieldManager": "first"})
        one = side.path(CONFIG_MAPS, "x")
        for kind in (MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH):
            for manager in ("", "second", "x" * 129, "a\nb"):
                await side.ask(
                    "PATCH",
                    one,
                    config_map("x", {"b": "2"}),
                    params={**dry, "fieldManager": manager},
                    content_type=kind,
                )
        for force in FLAGS:
            await side.ask(
                "PATCH",
                one,
                config_map("x", {"a": "2"}),
                params={**dry, "fieldManager": "m", "force": force},
                content_type=APPLY_PATCH,
            )
        await side.ask("PATCH", one, config_map("x"), params={**dry, "force": "true"}, content_type=MERGE_PATCH)
        for params in (
            [("dryRun", "All"), ("dryRun", "All")],
            [("dryRun", "All"), ("dryRun", "Some")],
            [("dryRun", "")],
            [("dryRun", "all")],
            [("dryRun", "All"), ("dryRun", "")],
        ):
            await side.ask("PUT", one, config_map("x", {"c": "3"}), params=params)
        await side.ask("GET", one)

    await both.compare(
        scenario, kind="*", feature="field managers: names, lengths, the default of a User-Agent", rules=ECHO
    )


async def test_dry_runs_with_generated_names(both: Both):
    async def scenario(side: Side) -> None:
        for resource in (CONFIG_MAPS, JOBS, PODS, SERVICES, SERVICE_ACCOUNTS, LEASES):
            body = sample(resource, "x", side.namespace)
            for metadata in (
                {"generateName": "made-"},
                {"generateName": "x" * 70},
                {"name": "given", "generateName": "made-"},
                {"generateName": ""},
                {"generateName": 7},
            ):
                body["metadata"] = metadata
                await side.ask("POST", side.path(resource), body, params={"dryRun": "All"})
        await side.ask("GET", side.path(LEASES))

    rules = [*ECHO, (r"\b(made-|x{58})[bcdfghjklmnpqrstvwxz2456789]{5}\b", r"\1<random>")]
    await both.compare(scenario, kind="*", feature="dry run with generateName", rules=rules)


@pytest.mark.parametrize("resource", [PODS, JOBS, SERVICES, NODES, NAMESPACES], ids=lambda each: each.plural)
async def test_managers_of_the_status(both: Both, resource: Any):
    async def scenario(side: Side) -> Any:
        name = f"{side.namespace}-s"
        path = side.path(resource, name)
        await side.ask(
            "POST", side.path(resource), sample(resource, name, side.namespace), params={"fieldManager": "maker"}
        )
        condition = {
            "type": "Odd",
            "status": "True",
            "lastTransitionTime": "2026-11-24T10:00:00Z",
            "reason": "Because",
            "message": "so",
        }
        change = {"status": {"conditions": [condition]}}
        await side.ask(
            "PATCH", path + "/status", change, params={"fieldManager": "watcher"}, content_type=STRATEGIC_PATCH
        )
        applied = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, **change}
        await side.ask("PATCH", path + "/status", applied, params={"fieldManager": "applier"}, content_type=APPLY_PATCH)
        await side.ask(
            "PATCH",
            path + "/status",
            applied,
            params={"fieldManager": "applier", "force": "true"},
            content_type=APPLY_PATCH,
        )
        found = (await side.ask("GET", path + "/status"))["body"]
        found["status"]["conditions"] = [{**condition, "status": "False"}]
        found["metadata"].pop("resourceVersion")
        found["metadata"].setdefault("labels", {})["not"] = "taken"
        found["spec"] = {}
        await side.ask("PUT", path + "/status", found, params={"fieldManager": "putter"})
        answer = await side.ask("GET", path)
        side.transcript.clear()  # what controllers write meanwhile is theirs
        managers = {each["manager"]: each for each in answer["body"]["metadata"]["managedFields"]}
        return [
            [managers.get(name) for name in ("maker", "watcher", "applier", "putter")],
            [each for each in answer["body"]["status"]["conditions"] if each["type"] == "Odd"],
            answer["body"]["metadata"].get("labels"),
        ]

    await both.compare(scenario, kind=resource.kind, feature="managers of the status subresource", rules=ECHO)


async def test_reads_of_one_object(both: Both):
    async def scenario(side: Side) -> None:
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x"))
        await side.ask("POST", side.path(PODS), pod("p"))
        for params in (
            {"pretty": "true"},
            {"pretty": ""},
            {"watch": "1", "timeoutSeconds": "1"},
            {"limit": "x"},
            {"labelSelector": "("},
            {"resourceVersionMatch": "Exact"},
            {"export": "true"},
            {"exact": "x"},
        ):
            await side.ask("GET", side.path(CONFIG_MAPS, "x"), params=params)
        for params in (
            {"container": "nothing"},
            {"tailLines": "x"},
            {"tailLines": "-1"},
            {"sinceSeconds": "0"},
            {"sinceTime": "x"},
            {"limitBytes": "0"},
            {"stream": "Odd"},
            {"previous": "x"},
            {"sinceSeconds": "5", "sinceTime": "2026-11-24T10:00:00Z"},
            {"stream": "Stdout", "tailLines": "1"},
        ):
            await side.ask("GET", side.path(PODS, "p", "log"), params=params)

    await both.compare(scenario, kind="*", feature="parameters of get and of logs", rules=ECHO)
