"""The rules in CEL of custom resource definitions, on both servers."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from gke_notebook.cluster.client import MERGE_PATCH
from tests.contract.both import Both, Object, Side
from tests.contract.policies import says

KIND = "CustomResourceDefinition"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STRING: Object = {"type": "string", "maxLength": 20}


def rules(*found: Object | str) -> Object:
    return {"x-kubernetes-validations": [{"rule": each} if isinstance(each, str) else each for each in found]}


def definition(side: Side, plural: str, spec: Object, **more: Any) -> Object:
    group = f"{side.namespace}.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object", **spec}, "status": {
        "type": "object", "properties": {"phase": STRING}, **rules("self.phase != 'Bad'")}}, **more}  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": KIND, "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural.capitalize(), "listKind": f"{plural.capitalize()}List"},
            "versions": [{
                "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
            }],
        },
    }  # fmt: skip


SPEC: Object = {
    "properties": {
        "least": {"type": "integer"},
        "most": {"type": "integer"},
        "name": {**STRING, **rules({"rule": "self == oldSelf", "message": "the name is fixed"})},
        "image": {**STRING, **rules(
            {"rule": "self.startsWith('good.io/')", "messageExpression": "'not from good.io: ' + self"})},
        "share": {"x-kubernetes-int-or-string": True, **rules(
            "type(self) == int ? self <= 100 : self.matches('^[0-9]+%$')")},
        "amount": {**STRING, **rules("isQuantity(self) && quantity(self).isLessThan(quantity('8Gi'))")},
        "when": {"type": "string", "format": "date-time", **rules(
            "self > timestamp('2020-01-01T00:00:00Z')")},
        "kind-of": {**STRING},
        "tags": {"type": "array", "maxItems": 5, "items": STRING, "x-kubernetes-list-type": "set", **rules(
            {"rule": "self.all(t, t != 'no')", "reason": "FieldValueForbidden", "message": "no no"})},
        "labels": {"type": "object", "maxProperties": 5, "additionalProperties": {**STRING, **rules("self != 'bad'")}},
        "once": {**STRING, **rules(
            {"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": True, "message": "once"})},
        "parts": {
            "type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": {
                "type": "object", "required": ["id"], "properties": {"id": STRING, "count": {"type": "integer"}},
                **rules({"rule": "!has(oldSelf.count) || self.count >= oldSelf.count", "message": "only more"},
                        {"rule": "!has(self.count) || self.count < 10", "fieldPath": ".count"}),
            },
        },
    },
    **rules(
        {"rule": "!has(self.least) || !has(self.most) || self.least <= self.most", "message": "least is at most most"},
        {"rule": "!has(self.kind__dash__of) || self.kind__dash__of in ['a', 'b']", "reason": "FieldValueRequired",
         "fieldPath": ".kind-of", "message": "a or b"},
        {"rule": "!has(self.most) || 10 / self.most >= 0"},
    ),
}  # fmt: skip


async def established(side: Side, body: Object) -> str:
    """Create a definition; gives the path of the collection it brings."""
    answer = await side.ask("POST", DEFINITIONS, body, record=False)
    assert answer["status"] == 201, answer
    assert "Warning" not in answer["headers"]
    spec = body["spec"]
    path = f"/apis/{spec['group']}/v1/namespaces/{side.namespace}/{spec['names']['plural']}"
    for _ in range(600):
        if (await side.ask("GET", path, record=False))["status"] == 200:
            return path
        await asyncio.sleep(0.05)
    raise AssertionError("the definition was never established")


async def test_rules_hold_for_objects(both: Both):
    async def scenario(side: Side) -> Any:
        root = rules({"rule": "self.metadata.name.startsWith('w')", "message": "names begin with w"})
        body = definition(side, "widgets", SPEC, **root)
        said: list[Any] = []
        path = await established(side, body)
        begun = {"apiVersion": f"{body['spec']['group']}/v1", "kind": "Widgets"}

        async def ask(method: str, where: str, sent: object, **more: Any) -> None:
            said.append(says(await side.ask(method, where, sent, record=False, **more)))

        try:
            for index, spec in enumerate((
                {}, {"least": 1, "most": 2}, {"least": 3, "most": 2}, {"most": 0}, {"image": "good.io/x"},
                {"image": "bad.io/x"}, {"share": 50}, {"share": 101}, {"share": "5%"}, {"share": "x"},
                {"amount": "1Gi"}, {"amount": "9Gi"}, {"amount": "x"}, {"when": "2021-01-01T00:00:00Z"},
                {"when": "2019-01-01T00:00:00Z"}, {"kind-of": "c"}, {"tags": ["a", "no"]}, {"labels": {"a": "bad"}},
                {"parts": [{"id": "a", "count": 10}]}, {"least": "x", "most": 2}, {"name": "n"}, {"once": "a"},
            )):  # fmt: skip
                await ask("POST", path, {**begun, "metadata": {"name": f"w{index}"}, "spec": spec})
            await ask("POST", path, {**begun, "metadata": {"name": "x"}, "spec": {}})
            whole = {"name": "n", "once": "a", "tags": ["a", "b"], "parts": [{"id": "a", "count": 2}, {"id": "b"}]}
            await ask("POST", path, {**begun, "metadata": {"name": "w"}, "spec": whole})
            for change in (
                {"name": "m"}, {"once": "b"}, {"parts": [{"id": "b"}, {"id": "a", "count": 1}]},
                {"parts": [{"id": "c", "count": 1}, {"id": "a", "count": 3}, {"id": "b"}]}, {"name": None},
            ):  # fmt: skip
                await ask("PATCH", f"{path}/w", {"spec": change}, content_type=MERGE_PATCH)
            for phase in ("Bad", "Good"):
                state = {"status": {"phase": phase}}
                await ask("PATCH", f"{path}/w/status", state, content_type=MERGE_PATCH)
            # What was wrong before a rule came and has not changed is let be, with a warning.
            stricter = {**SPEC, "properties": {**SPEC["properties"], "once": {**STRING, **rules("self != 'a'")}}}
            version = definition(side, "widgets", stricter, **root)["spec"]["versions"]
            name = body["metadata"]["name"]
            await side.ask("PATCH", f"{DEFINITIONS}/{name}", {"spec": {"versions": version}}, content_type=MERGE_PATCH,
                           record=False)  # fmt: skip
            for _ in range(600):
                probe = {**begun, "metadata": {"name": "wprobe"}, "spec": {"once": "a"}}
                answer = await side.ask("POST", path, probe, params={"dryRun": "All"}, record=False)
                if answer["status"] == 422:
                    break
                await asyncio.sleep(0.05)
            await ask("PATCH", f"{path}/w", {"spec": {"least": 1}}, content_type=MERGE_PATCH)
            await ask("PATCH", f"{path}/w", {"spec": {"once": "b"}}, content_type=MERGE_PATCH)
        finally:
            await side.ask("DELETE", f"{DEFINITIONS}/{body['metadata']['name']}", record=False)
        return said

    await both.compare(scenario, kind=KIND, feature="rules in CEL: objects")


WRONG: dict[str, Object] = {
    "does not parse": {"properties": {"a": STRING}, **rules("self.a ==")},
    "undefined field": {"properties": {"a": STRING}, **rules("self.b == 'x'")},
    "undeclared": {"properties": {"a": STRING}, **rules("this.a == 'x'")},
    "overload": {"properties": {"a": STRING}, **rules("self.a == 1")},
    "not bool": {"properties": {"a": STRING}, **rules("self.a")},
    "message": {"properties": {"a": STRING}, **rules({"rule": "true", "messageExpression": "1"})},
    "message does not compile": {"properties": {"a": STRING}, **rules({"rule": "true", "messageExpression": "self.b"})},
    "empty": rules(" "),
    "lines": rules({"rule": "true &&\n true"}, {"rule": "true", "message": "a\nb"}, {"rule": "true", "message": " "}),
    "reason": rules({"rule": "true", "reason": "Nope"}),
    "field path": {"properties": {"a": STRING}, **rules({"rule": "true", "fieldPath": ".b"})},
    "no transition": rules({"rule": "true", "optionalOldSelf": True}),
    "no counterpart": {"properties": {"l": {
        "type": "array", "maxItems": 2, "items": {**STRING, **rules("self == oldSelf")}}}},
}  # fmt: skip


async def test_rules_that_do_not_compile_are_refused(both: Both):
    async def scenario(side: Side) -> Any:
        said = []
        for what, spec in WRONG.items():
            body = definition(side, "wrongs", spec)
            answer = await side.ask("POST", DEFINITIONS, body, params={"dryRun": "All"}, record=False)
            assert answer["status"] == 422, (what, answer)
            message = answer["body"]["message"]
            if what == "does not parse":  # the parser of the real server names all tokens that it would have taken
                message = re.sub(r"Syntax error: .*", "Syntax error", message)
                said.append([what, message[: message.index("Syntax error") + 12]])
                continue
            said.append([what, *says(answer)])
        return said

    await both.compare(scenario, kind=KIND, feature="rules in CEL: refused")
