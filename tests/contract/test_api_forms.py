"""Methods, forms of answers, and parameters that change the form, on both servers."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

from typing import Any

from gke_notebook.cluster.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, PODS
from tests.contract.both import Both, Side
from tests.contract.mistakes import as_mistakes
from tests.contract.samples import ECHO, config_map, pod, without_descriptions
from tests.contract.test_crd_objects import install, widgets

FORMS = (
    "", "*/*", "text/*", "application/json", "application/json;", "application/json; charset=utf-8", "application/yaml", "application/vnd.kubernetes.nothing", "text/html, */*;q=0.1",
    "application/json;q=0", "application/yaml;q=0.5, application/json;q=0.4", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table;g=meta.k8s.io;v=v1, application/json",  "application/json;as=Table", "application/json;as=Nothing;v=v1;g=meta.k8s.io",  "application/yaml;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v1;g=apps", ",", ";", "x", "application/json, application/xml",
    "application/json;stream=watch", "application/json;profile=nothing", "application/json;pretty=1",
)  # fmt: skip


def shape(transcript: list[Any]) -> Any:
    """Leave out what is in a YAML text, whose layout is the library's, and the descriptions of columns."""
    for answer in transcript:
        if isinstance(answer.get("body"), str) and answer["headers"].get("Content-Type") == "application/yaml":
            answer["body"] = answer["body"].split(":")[0]
    return without_descriptions(as_mistakes(transcript))


async def test_methods(both: Both):
    async def scenario(side: Side) -> Any:
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x"), record=False)
        for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "POST", "DELETE"):
            for path in (
                "/",
                "/api",
                "/apis",
                "/api/v1",
                "/apis/batch",
                "/apis/batch/v1",
                "/version",
                "/healthz",
                "/nothing",
                "/apis/nothing.example.com/v1",
            ):
                if (await side.ask(method, path))["status"] == 200:
                    side.transcript[-1]["body"] = ""  # what else the real server has
        for method in ("HEAD", "OPTIONS", "TRACE"):
            for path in (
                side.path(CONFIG_MAPS),
                side.path(CONFIG_MAPS, "x"),
                side.path(CONFIG_MAPS, "none"),
                side.path(PODS, "x", "log"),
                side.path(PODS, "x", "binding"),
                side.path(JOBS, "x", "status"),
                "/api/v1/pods",
            ):
                await side.ask(method, path)
        for method in ("GET", "PUT", "PATCH", "DELETE", "POST"):
            for path in (
                side.path(PODS, "x", "binding"),
                side.path(PODS, "x", "eviction"),
                side.path(JOBS, "x", "status"),
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ):
                if (method, path[-6:]) not in {("POST", "inding"), ("POST", "iction"), ("POST", "eviews")}:
                    await side.ask(
                        method,
                        path,
                        {} if method != "GET" else None,
                        content_type=MERGE_PATCH if method == "PATCH" else "application/json",
                    )
        return shape(side.transcript)

    await both.compare(scenario, kind="*", feature="methods: HEAD, OPTIONS and those that are not served", rules=ECHO)


async def test_forms_of_answers(both: Both):
    async def scenario(side: Side) -> Any:
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x"), record=False)
        for accept in FORMS:
            for path in (
                side.path(CONFIG_MAPS, "x"),
                side.path(CONFIG_MAPS) + "?labelSelector=none",
                side.path(CONFIG_MAPS, "none"),
            ):
                await side.ask("GET", path, headers={"Accept": accept})
            await side.ask("POST", side.path(CONFIG_MAPS) + "?dryRun=All", config_map("y"), headers={"Accept": accept})
            await side.ask("DELETE", side.path(CONFIG_MAPS, "x") + "?dryRun=All", headers={"Accept": accept})
        for path in ("/api", "/apis", "/apis/batch", "/apis/batch/v1", "/healthz"):
            for accept in ("*/*", "application/xml", "application/json;as=Table;v=v1;g=meta.k8s.io", "text/plain"):
                answer = await side.ask("GET", path, headers={"Accept": accept})
                if answer["status"] == 200:
                    answer["body"] = ""
                    side.transcript[-1]["body"] = ""
        return shape(side.transcript)

    rules = [(r", application/vnd.kubernetes.protobuf(;stream=watch)?", ""), *ECHO, (r"^\d+[hms]\d*[hms]?$", "<age>")]
    await both.compare(scenario, kind="*", feature="forms of answers: Accept", rules=rules)


async def test_forms_of_bodies(both: Both):
    async def scenario(side: Side) -> Any:
        path, dry = side.path(CONFIG_MAPS), {"dryRun": "All"}
        await side.ask("POST", path, config_map("x"))
        yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {a: '1'}\n"
        for content_type in (
            "application/json", "application/json; charset=utf-8", "application/json;x", "APPLICATION/JSON", "application/yaml", "application/yaml; a=b", "text/yaml", "application/x-yaml",
            "text/plain", "application/json-patch+json", "a/b/c", ";", "application/", "multipart/form-data", "application/x-www-form-urlencoded", "*/*", "application/json, application/yaml", "application/cbor",
        ):  # fmt: skip
            body = yaml if "yaml" in content_type else config_map("y")
            await side.ask("POST", path, body, params=dry, content_type=content_type)
            await side.ask(
                "PUT",
                path + "/x",
                yaml.replace(b"y}", b"x}") if "yaml" in content_type else config_map("x"),
                params=dry,
                content_type=content_type,
            )
            await side.ask("PATCH", path + "/x", {"data": {"b": "2"}}, params=dry, content_type=content_type)
        for content_type in (
            JSON_PATCH,
            MERGE_PATCH,
            STRATEGIC_PATCH,
            APPLY_PATCH,
            "application/apply-patch+json",
            "application/apply-patch+cbor",
        ):
            for body in (
                b"",
                b"{",
                b"[]",
                b"{}",
                b"null",
                b'"x"',
                b"7",
                b'[{"op": "test", "path": "/data/a", "value": "2"}]',
                b'[{"op": "odd", "path": "/data"}]',
                b'[{"op": "remove"}]',
                b"[7]",
                b'{"data": {"a": {"b": 1}}}',
                b'{"data": 7}',
                b'{"metadata": 7}',
            ):
                if content_type == STRATEGIC_PATCH and body[-2:-1] in b"7}":
                    continue  # the texts are of Go's converters
                await side.ask(
                    "PATCH",
                    path + "/x",
                    body,
                    params={**dry, "fieldManager": "m"},
                    content_type=content_type + "; charset=utf-8",
                )
        return shape(side.transcript)

    await both.compare(
        scenario,
        kind="*",
        feature="forms of bodies: Content-Type, malformed patches",
        rules=[*ECHO, (r"yaml: .*", "yaml: <where>")],
    )


async def test_pretty(both: Both):
    async def scenario(side: Side) -> Any:
        await side.ask("POST", side.path(CONFIG_MAPS), config_map("x"))
        for pretty in ("", "0", "1", "false", "true", "x"):
            for agent in ("gke-notebook", "curl/8", "Mozilla/5.0", "Wget/1"):
                for path in (side.path(CONFIG_MAPS, "x"), side.path(CONFIG_MAPS, "none")):
                    await side.ask("GET", path, params={"pretty": pretty}, headers={"User-Agent": agent})

    await both.compare(scenario, kind="*", feature="pretty answers hold the same", rules=ECHO)


async def test_custom_kinds(both: Both):
    async def scenario(side: Side) -> Any:
        await install(side)
        base = widgets(side)
        await side.ask(
            "POST",
            base,
            {
                "apiVersion": f"{side.namespace}.example.com/v1",
                "kind": "Widget",
                "metadata": {"name": "w"},
                "spec": {"size": 1, "parts": [{"name": "a"}]},
            },
        )
        one = f"{base}/w"
        for content_type in (
            STRATEGIC_PATCH,
            MERGE_PATCH,
            JSON_PATCH,
            APPLY_PATCH,
            "text/plain",
            "",
            "application/json",
            "application/vnd.kubernetes.protobuf",
        ):
            for body in (
                {"spec": {"size": "x"}},
                {"spec": 7},
                {"spec": {"size": 2}},
                {"metadata": {"resourceVersion": ""}},
                {"metadata": {"resourceVersion": "1"}},
                {"metadata": {"resourceVersion": "x"}},
                {"metadata": {"labels": {"a": 1}}},
                {"kind": "Other"},
                {"apiVersion": "v7"},
                {"what": 1},
            ):
                await side.ask(
                    "PATCH", one, body, params={"dryRun": "All", "fieldManager": "m"}, content_type=content_type
                )
        for change in (
            {"spec": {"size": 99, "parts": [{"name": "a"}]}},
            {"spec": {"size": 2}},
            {"spec": {"size": 2, "tags": ["a", "b"]}},
            {"spec": {"size": 2, "choice": {"a": "x", "b": "y"}}},
        ):
            applied = {
                "apiVersion": f"{side.namespace}.example.com/v1",
                "kind": "Widget",
                "metadata": {"name": "w"},
                **change,
            }
            for name in ("w", "new"):
                applied["metadata"] = {**applied["metadata"], "name": name}
                await side.ask(
                    "PATCH",
                    f"{base}/{name}",
                    applied,
                    params={"dryRun": "All", "fieldManager": "m", "force": "true"},
                    content_type=APPLY_PATCH,
                )
        return as_mistakes(side.transcript)

    await both.compare(scenario, kind="*", feature="custom kinds: patches and applies of wrong types", rules=ECHO)


async def test_finalizers_of_pods_and_custom_kinds(both: Both):
    async def scenario(side: Side) -> Any:
        await install(side)
        base = widgets(side)
        widget = {
            "apiVersion": f"{side.namespace}.example.com/v1",
            "kind": "Widget",
            "spec": {"size": 1, "parts": [{"name": "a"}]},
        }
        for name, propagation in (("a", "Background"), ("b", "Foreground"), ("c", "Orphan"), ("d", "")):
            made = await side.ask(
                "POST", base, {**widget, "metadata": {"name": name, "finalizers": ["example.com/hold"]}}
            )
            await side.ask("POST", base, {**widget, "metadata": {"name": name}})
            for preconditions in ({"uid": "1"}, {"resourceVersion": "1"}):
                await side.ask("DELETE", f"{base}/{name}", {"preconditions": preconditions})
            await side.ask(
                "DELETE",
                f"{base}/{name}",
                {"propagationPolicy": propagation} if propagation else None,
                params={"dryRun": "All"} if not propagation else None,
            )
            await side.ask(
                "PUT", f"{base}/{name}", {**made["body"], "metadata": {**made["body"]["metadata"], "uid": "1"}}
            )
        await side.ask("POST", side.path(PODS), pod("p", finalizers=["example.com/hold"]))
        await side.ask("DELETE", side.path(PODS, "p"), {"gracePeriodSeconds": 5})
        await side.ask(
            "PATCH", f"{base}/a", {"metadata": {"finalizers": ["example.com/more"]}}, content_type=MERGE_PATCH
        )
        await side.ask("PATCH", f"{base}/a", {"metadata": {"finalizers": None}}, content_type=MERGE_PATCH)
        await side.ask("GET", f"{base}/a")
        for name in "bcd":
            await side.ask(
                "PATCH", f"{base}/{name}", {"metadata": {"finalizers": None}}, content_type=MERGE_PATCH, record=False
            )
        await side.ask(
            "PATCH", side.path(PODS, "p"), {"metadata": {"finalizers": None}}, content_type=MERGE_PATCH, record=False
        )
        return as_mistakes(side.transcript)

    rules = [*ECHO, (r"in record \(\d+\)", "in record (<version>)")]
    await both.compare(scenario, kind="*", feature="custom kinds: finalizers, preconditions", rules=rules)
