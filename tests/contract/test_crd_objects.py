"""Custom resource definitions and the objects of their kinds, on both servers."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from gke_notebook.cluster.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from tests.contract.both import Both, Object, Side

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPEC_SCHEMA: Object = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "color": {"type": "string", "enum": ["red", "green"], "default": "red"},
        "code": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
        "ratio": {"type": "number", "multipleOf": 0.5},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "when": {"type": "string", "format": "date-time"},
        "on": {"type": "boolean"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "maxItems": 3},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
        "parts": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}},
            },
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "choice": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
    },
}


def definition(side: Side, **version: Any) -> Object:
    """A definition whose group is the scenario's own."""
    group = f"{side.namespace}.example.com"
    schema = {
        "type": "object",
        "properties": {
            "spec": SPEC_SCHEMA,
            "status": {"type": "object", "properties": {"phase": {"type": "string"}, "seen": {"type": "integer"}}},
        },
    }
    found = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Part", "type": "string", "jsonPath": ".spec.parts[0].name", "priority": 1},
            {"name": "B", "type": "integer", "jsonPath": '.spec.parts[?(@.name=="b")].count', "description": "of b"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        **version,
    }
    own = side.namespace.replace("-", "")
    names = {"plural": "widgets", "kind": "Widget", "shortNames": [f"wd{own}"], "categories": [f"gadgets{own}"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [found]},
    }


async def install(side: Side, body: Object | None = None) -> Object:
    """Create a definition and wait until its kind is served."""
    body = definition(side) if body is None else body
    await side.ask("POST", DEFINITIONS, body, record=False)
    return await established(side, body["metadata"]["name"])


async def established(side: Side, name: str) -> Object:
    """Wait until a definition is established and its kind answers; gives the definition."""
    for _ in range(400):
        answer = (await side.ask("GET", f"{DEFINITIONS}/{name}", record=False))["body"]
        conditions = {each["type"]: each["status"] for each in (answer.get("status") or {}).get("conditions") or ()}
        if conditions.get("Established") == "True":
            spec = answer["spec"]
            version = next(each["name"] for each in spec["versions"] if each["storage"])
            path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
            if (await side.ask("GET", path, record=False))["status"] == 200:
                return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} was not established")


def widgets(side: Side, name: str = "", subresource: str = "") -> str:
    """The path of the scenario's widgets."""
    path = f"/apis/{side.namespace}.example.com/v1/namespaces/{side.namespace}/widgets"
    return "/".join(part for part in (path, name, subresource) if part)


def widget(side: Side, name: str = "w", **spec: Any) -> Object:
    """A widget."""
    return {
        "apiVersion": f"{side.namespace}.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 3, **spec},
    }


async def test_a_definition_is_accepted_and_established(both: Both):
    async def scenario(side: Side) -> Any:
        body = definition(side)
        created = await side.ask("POST", DEFINITIONS, body)
        found = await established(side, body["metadata"]["name"])
        found["status"]["conditions"].sort(key=lambda each: each["type"])
        again = await side.ask("POST", DEFINITIONS, body)
        return [created, found, again]

    await both.compare(scenario, kind="CustomResourceDefinition", feature="create, conditions, stored versions")


_PLACES = {"v": "spec.versions.0", "s": "spec.versions.0.schema.openAPIV3Schema"}


def changed(path: str, value: Any) -> Any:
    """Give a change of a definition by a path such as ``spec.scope``; ``v`` stands for its version."""

    def change(body: Object) -> None:
        at: Any = body
        start, dot, rest = path.partition(".")
        *way, last = (_PLACES.get(start, start) + dot + rest).split(".")
        for part in way:
            at = at[int(part)] if part.isdigit() else at[part]
        if value is None:
            at.pop(last, None)
        else:
            at[last] = value

    return change


REFUSED_DEFINITIONS = {
    "no scope": changed("spec.scope", None),
    "unknown scope": changed("spec.scope", "Planet"),
    "group without dot": changed("spec.group", "example"),
    "name": changed("metadata.name", "other.example.com"),
    "no kind": changed("spec.names.kind", None),
    "plural": changed("spec.names.plural", "Widgets"),
    "short name": changed("spec.names.shortNames", ["W_D"]),
    "no schema": changed("v.schema", None),
    "no storage": changed("v.storage", False),
    "root type": changed("s.type", None),
    "items": changed("s.properties.spec", {"type": "object", "properties": {"a": {"type": "array"}}}),
    "no type": changed("s.properties.spec", {"type": "object", "properties": {"a": {}}}),
    "unknown type": changed("s.properties.spec", {"type": "object", "properties": {"a": {"type": "text"}}}),
    "unique items": changed("s.properties.spec", {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    "additional and properties": changed(
        "s.properties.spec",
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
    ),
    "map without keys": changed(
        "s.properties.spec", {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}
    ),
    "nested type": changed("s.properties.spec", {"type": "object", "anyOf": [{"type": "object"}]}),
    "default of the wrong type": changed("s.properties.spec", {"type": "integer", "default": "x"}),
    "column type": changed("v.additionalPrinterColumns", [{"name": "A", "type": "text", "jsonPath": ".a"}]),
    "column path": changed("v.additionalPrinterColumns", [{"name": "A", "type": "string", "jsonPath": "a"}]),
    "unserved strategy": changed("spec.conversion", {"strategy": "Magic"}),
}


@pytest.mark.parametrize("what", REFUSED_DEFINITIONS)
async def test_definitions_that_are_refused(both: Both, what: str):
    async def scenario(side: Side) -> None:
        body = copy.deepcopy(definition(side))
        REFUSED_DEFINITIONS[what](body)
        await side.ask("POST", DEFINITIONS, body)

    # Where a real server shows the versions it is an internal form of them.
    rules = [(r"Invalid value: \[\{.*\}\]: ", "Invalid value: ")]
    await both.compare(scenario, kind="CustomResourceDefinition", feature=f"refused: {what}", rules=rules)


VALUES: dict[str, Object] = {
    "good": {"size": 2, "code": "abc", "ratio": 1.5, "port": "http", "when": "2026-01-01T00:00:00Z", "on": True},
    "port as number": {"port": 80},
    "wrong type": {"size": "big"},
    "not whole": {"size": 1.5},
    "no boolean": {"on": "yes"},
    "too small": {"size": 0},
    "too large": {"size": 10},
    "not in the enum": {"color": "blue"},
    "pattern": {"code": "ABC"},
    "too short": {"code": "a"},
    "too long": {"code": "abcdef"},
    "multiple": {"ratio": 0.7},
    "int or string": {"port": True},
    "null": {"note": None},
    "null that is not allowed": {"code": None},
    "null with a default": {"color": None},
    "date": {"when": "yesterday"},
    "set": {"tags": ["a", "b", "a"]},
    "too many": {"tags": ["a", "b", "c", "d"]},
    "too many properties": {"labels": {"a": "1", "b": "2", "c": "3"}},
    "map value": {"labels": {"a": 1}},
    "same key": {"parts": [{"name": "a"}, {"name": "a"}]},
    "no items": {"parts": []},
    "required in an item": {"parts": [{"count": 2}]},
    "oneOf": {"choice": {"a": "x", "b": "y"}},
    "oneOf, none": {"choice": {}},
    "an array for an object": {"free": []},
    "kept": {"free": {"any": {"thing": [1, {"x": None}]}}},
    "pruned": {"unknown": 1, "parts": [{"name": "a", "odd": True}]},
    "missing": {"size": None},
}


async def test_values_against_the_schema(both: Both):
    async def scenario(side: Side) -> None:
        await install(side)
        for name, spec in VALUES.items():
            side.transcript.append(name)
            await side.ask("POST", widgets(side), widget(side, "w", **spec), params={"dryRun": "All"})

    await both.compare(scenario, kind="*", feature="custom kinds: schema, pruning, defaults")


async def test_field_validation(both: Both):
    async def scenario(side: Side) -> None:
        await install(side)
        odd = widget(side, "w", unknown=1, parts=[{"name": "a", "odd": True}])
        odd["metadata"]["strange"] = "x"
        for mode in ("Strict", "Warn", "Ignore"):
            await side.ask("POST", widgets(side), odd, params={"dryRun": "All", "fieldValidation": mode})
        await side.ask("POST", widgets(side), {**widget(side), "kind": "Gadget"})
        await side.ask("POST", widgets(side), {**widget(side), "apiVersion": "example.org/v1"})
        await side.ask("POST", widgets(side), {**widget(side), "metadata": {"name": "Upper"}})
        await side.ask("POST", widgets(side), {**widget(side), "metadata": {"name": "w", "labels": {"a": 1}}})
        await side.ask("POST", widgets(side), b"{")

    await both.compare(scenario, kind="*", feature="custom kinds: fieldValidation, malformed bodies")


async def test_updates_and_status(both: Both):
    async def scenario(side: Side) -> None:
        await install(side)
        await side.ask("POST", widgets(side), {**widget(side), "status": {"phase": "lost"}})
        await side.ask("PATCH", widgets(side, "w"), {"status": {"phase": "lost"}}, content_type=MERGE_PATCH)
        await side.ask("PATCH", widgets(side, "w"), {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE_PATCH)
        await side.ask("PATCH", widgets(side, "w"), {"spec": {"size": 4}}, content_type=MERGE_PATCH)
        await side.ask("PATCH", widgets(side, "w"), {"spec": {"size": 99}}, content_type=MERGE_PATCH)
        change = [{"op": "add", "path": "/spec/tags", "value": ["x"]}]
        await side.ask("PATCH", widgets(side, "w"), change, content_type=JSON_PATCH)
        await side.ask("PATCH", widgets(side, "w"), {"spec": {"size": 4}}, content_type=STRATEGIC_PATCH)
        status = {"status": {"phase": "Ready", "odd": 1}, "spec": {"size": 9}, "metadata": {"labels": {"a": "c"}}}
        await side.ask("PATCH", widgets(side, "w", "status"), status, content_type=MERGE_PATCH)
        wrong = {"status": {"seen": "many"}}
        await side.ask("PATCH", widgets(side, "w", "status"), wrong, content_type=MERGE_PATCH)
        found = (await side.ask("GET", widgets(side, "w")))["body"]
        found["spec"]["color"] = "green"
        del found["metadata"]["resourceVersion"]
        await side.ask("PUT", widgets(side, "w"), found)
        await side.ask("DELETE", widgets(side, "w"))
        await side.ask("DELETE", widgets(side, "w"))

    await both.compare(scenario, kind="*", feature="custom kinds: patch, status, generation")


async def test_server_side_apply(both: Both):
    async def scenario(side: Side) -> None:
        await install(side)

        async def apply(manager: str, body: Object, **more: str) -> None:
            params = {"fieldManager": manager, **more}
            await side.ask("PATCH", widgets(side, "w"), body, params=params, content_type=APPLY_PATCH)

        await apply("one", widget(side, "w", size=2, parts=[{"name": "a"}], tags=["x"]))
        await apply("two", widget(side, "w", size=2, parts=[{"name": "b", "count": 5}], tags=["y"]))
        await apply("two", widget(side, "w", size=5))
        await apply("two", widget(side, "w", size=5), force="true")
        await apply("one", widget(side, "w", size=5, free={"a": {"b": 1, "c": [2]}}))
        await apply("one", widget(side, "w", size=5, free={"a": {"b": 2}}))

    await both.compare(scenario, kind="*", feature="custom kinds: server-side apply")


async def test_kubectl(both: Both):
    async def scenario(side: Side) -> None:
        await install(side)
        body = widget(side, "w", parts=[{"name": "b", "count": 7}])
        await side.ask("POST", widgets(side), body, record=False)
        own, group = side.namespace.replace("-", ""), f"{side.namespace}.example.com"
        for command in (
            f"get wd{own}",
            f"get widgets.{group} -o wide --no-headers",
            f"get gadgets{own} -o name",
            f"get wd{own} w",
            f"explain widget.spec.size --api-version={group}/v1",
            f"api-resources --api-group={group} --no-headers",
            f"delete wd{own} w",
        ):
            await side.run_kubectl(*command.split())

    await both.compare(
        scenario, kind="*", feature="custom kinds: kubectl get, explain, api-resources", rules=[(r"\d+s\n", "<age>\n")]
    )


async def test_the_definition_takes_its_objects_along(both: Both):
    async def scenario(side: Side) -> Any:
        body = await install(side)
        held = widget(side)
        held["metadata"]["finalizers"] = ["example.com/held"]
        await side.ask("POST", widgets(side), held, record=False)
        name = body["metadata"]["name"]
        answers = [await side.ask("DELETE", f"{DEFINITIONS}/{name}")]
        for _ in range(400):
            left = await side.ask("GET", widgets(side, "w"), record=False)
            if left["body"]["metadata"].get("deletionTimestamp"):
                break
            await asyncio.sleep(0.05)
        answers.append(await side.ask("POST", widgets(side), widget(side, "x")))
        await side.ask(
            "PATCH", widgets(side, "w"), {"metadata": {"finalizers": None}}, content_type=MERGE_PATCH, record=False
        )
        for _ in range(400):
            gone = await side.ask("GET", f"{DEFINITIONS}/{name}", record=False)
            if gone["status"] == 404:
                break
            await asyncio.sleep(0.05)
        return [*answers, gone]

    await both.compare(scenario, kind="CustomResourceDefinition", feature="deletion takes the objects along")
