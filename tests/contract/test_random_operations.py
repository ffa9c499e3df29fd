"""Sequences of operations drawn at random, with the same answers from both servers."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

import asyncio
import random
from typing import Any

from gke_notebook.cluster.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, PODS, SERVICES, Resource
from tests.contract.both import Both, Side
from tests.contract.normal import Normal
from tests.contract.samples import ECHO, sample

Object = dict[str, Any]
SEQUENCES, LENGTH = 200, 10
KINDS = (CONFIG_MAPS, PODS, JOBS, SERVICES)
VALUES = ("", "1", "2", "x")


class Sequence:
    """One sequence; whatever it draws depends on its seed alone, so both servers are asked the same.

    Args:
        side: the server.
        seed: which sequence.
    """

    def __init__(self, side: Side, seed: int) -> None:
        self.side = Side(side.name, side.client, side.namespace, side.kubectl)  # its own transcript
        self.draw = random.Random(seed)
        self.name = f"s{seed}"
        self.only = {"labelSelector": f"sequence={self.name}"}
        self.seen: dict[tuple[str, str], Object] = {}
        self.began: dict[str, str] = {}

    async def run(self) -> None:
        """Do it all, and read everything at the end."""
        for _ in range(LENGTH):
            resource = self.draw.choice(KINDS)
            await getattr(self, self.draw.choice(OPERATIONS))(resource, f"{self.name}-{self.draw.choice('ab')}")
        for resource in KINDS:
            await self.side.ask("GET", self.side.path(resource), params=self.only)
            if resource.plural in self.began:
                await self.watch(resource, "")

    def body(self, resource: Resource, name: str) -> Object:
        labels = {"sequence": self.name, "n": self.draw.choice(VALUES)}
        made = sample(resource, name, self.side.namespace, labels=labels)
        if self.draw.random() < 0.3:
            made["metadata"]["annotations"] = {"note": self.draw.choice(VALUES)}
        if self.draw.random() < 0.2:
            made["metadata"]["finalizers"] = ["example.com/hold"]
        return made

    def change(self, resource: Resource) -> Object:
        """Give a patch that may or may not be allowed."""
        value = self.draw.choice((None, *VALUES))
        metadata: list[Object] = [
            {"labels": {"n": value}},
            {"labels": {"new": value}},
            {"annotations": {"note": value}},
            {"annotations": None},
            {"finalizers": self.draw.choice((None, [], ["example.com/hold"]))},
        ]
        specific: dict[str, list[Object]] = {
            "configmaps": [{"data": {"a": value}}, {"data": {"c": value}}, {"data": None}, {"immutable": True}],
            "pods": [
                {"spec": {"activeDeadlineSeconds": self.draw.choice((5, 9))}},
                {"spec": {"containers": [{"name": "main", "image": f"nginx:{value}"}]}},
                {"spec": {"terminationGracePeriodSeconds": 5}},
            ],
            "jobs": [
                {"spec": {"parallelism": self.draw.choice((0, 1, 2))}},
                {"spec": {"suspend": self.draw.choice((True, False))}},
                {"spec": {"backoffLimit": self.draw.choice((3, 4))}},
            ],
            "services": [
                {"spec": {"ports": [{"port": self.draw.choice((80, 81)), "name": self.draw.choice("pq")}]}},
                {"spec": {"selector": {"app": value}}},
                {"spec": {"selector": None}},
            ],
        }
        if self.draw.random() < 0.5:
            return {"metadata": self.draw.choice(metadata)}
        return self.draw.choice(specific[resource.plural])

    async def send(self, method: str, resource: Resource, name: str, body: Any = None, **more: Any) -> Object:
        path = self.side.path(resource, name or None)
        answer = await self.side.ask(method, path, body, **more)
        if answer["status"] in (200, 201) and answer["body"].get("kind") == resource.kind:
            found = answer["body"]
            self.seen[resource.plural, found["metadata"]["name"]] = found
            self.began.setdefault(resource.plural, found["metadata"]["resourceVersion"])
        return answer

    async def create(self, resource: Resource, name: str) -> None:
        await self.send("POST", resource, "", self.body(resource, name))

    async def read(self, resource: Resource, name: str) -> None:
        await self.send("GET", resource, name)

    async def list(self, resource: Resource, _name: str) -> None:
        selector = self.only["labelSelector"] + self.draw.choice(("", ",n", ",!n", ",n in (1,2)", ",n!=1"))
        await self.side.ask("GET", self.side.path(resource), params={"labelSelector": selector})

    async def update(self, resource: Resource, name: str) -> None:
        found = self.seen.get((resource.plural, name)) or self.body(resource, name)
        changed = merged(found, self.change(resource))
        if self.draw.random() < 0.3:
            changed["metadata"].pop("resourceVersion", None)
        await self.send("PUT", resource, name, changed)

    async def merge(self, resource: Resource, name: str) -> None:
        await self.send("PATCH", resource, name, self.change(resource), content_type=MERGE_PATCH)

    async def strategic(self, resource: Resource, name: str) -> None:
        await self.send("PATCH", resource, name, self.change(resource), content_type=STRATEGIC_PATCH)

    async def steps(self, resource: Resource, name: str) -> None:
        step: Object = self.draw.choice((
            {"op": "add", "path": "/metadata/labels/j", "value": "1"},
            {"op": "remove", "path": "/metadata/labels/j"},
            {"op": "replace", "path": "/metadata/labels/n", "value": "2"},
            {"op": "test", "path": "/metadata/labels/n", "value": "1"},
        ))  # fmt: skip
        await self.send("PATCH", resource, name, [step], content_type=JSON_PATCH)

    async def apply(self, resource: Resource, name: str) -> None:
        made: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name, "labels": {"sequence": self.name, "applied": self.draw.choice(VALUES)}},
        }
        if self.draw.random() < 0.7:
            made = merged(self.body(resource, name), made)
            made["metadata"].pop("finalizers", None)
        if resource is CONFIG_MAPS and self.draw.random() < 0.6:
            made["data"] = {key: self.draw.choice(VALUES) for key in self.draw.sample("abc", 2)}
        params = {"fieldManager": self.draw.choice(("one", "two")), "force": self.draw.choice(("true", "false"))}
        await self.send("PATCH", resource, name, made, params=params, content_type=APPLY_PATCH)

    async def delete(self, resource: Resource, name: str) -> None:
        found = self.seen.get((resource.plural, name))
        options: Object = {"propagationPolicy": "Background"}
        if found is not None and self.draw.random() < 0.4:
            options["preconditions"] = {"uid": found["metadata"]["uid"]}
        if found is not None and self.draw.random() < 0.3:
            options.setdefault("preconditions", {})["resourceVersion"] = found["metadata"]["resourceVersion"]
        if self.draw.random() < 0.3:
            options["gracePeriodSeconds"] = 0
        await self.send("DELETE", resource, name, options)

    async def status(self, resource: Resource, name: str) -> None:
        value = self.draw.choice((None, *VALUES))
        condition = {
            "type": "Odd",
            "status": "True",
            "reason": "R",
            "message": value,
            "lastTransitionTime": "2026-11-24T10:00:00Z",
        }
        change = self.draw.choice((
            {"status": {"message": value} if resource is PODS else {"conditions": [condition]}},
            {"metadata": {"labels": {"n": value}}},
            {"spec": {"parallelism": 9, "suspend": None}},
        ))  # fmt: skip
        path = self.side.path(resource, name, "status")
        await self.side.ask("PATCH", path, change, params={"fieldManager": "watcher"}, content_type=MERGE_PATCH)

    async def page(self, resource: Resource, _name: str) -> None:
        page = await self.side.ask(
            "GET", self.side.path(resource), params={**self.only, "limit": self.draw.choice("12")}
        )
        # Whether others' objects lie behind the last one is a matter of when they were made.
        page["body"]["metadata"].pop("continue", "")

    async def versions(self, resource: Resource, _name: str) -> None:
        if resource.plural in self.began:
            match = self.draw.choice(("Exact", "NotOlderThan"))
            params = {**self.only, "resourceVersion": self.began[resource.plural], "resourceVersionMatch": match}
            await self.side.ask("GET", self.side.path(resource), params=params)

    async def delete_all(self, resource: Resource, _name: str) -> None:
        if self.draw.random() < 0.3:
            params = {**self.only, "propagationPolicy": "Background"}
            await self.side.ask("DELETE", self.side.path(resource), params=params)

    async def watch(self, resource: Resource, _name: str) -> None:
        # A pod that nobody runs is deleted in two steps by the real server, and two events tell of it.
        if resource is PODS or resource.plural not in self.began or self.draw.random() > 0.1:
            return
        params = {"watch": "1", "timeoutSeconds": "1", "resourceVersion": self.began[resource.plural], **self.only}
        await self.side.ask("GET", self.side.path(resource), params=params)


OPERATIONS = (
    "create", "create", "read", "list", "update", "update", "merge", "merge", "strategic", "steps", "apply", "apply", "delete",
    "delete_all", "watch", "status", "page", "versions",
)  # fmt: skip


def merged(target: Object, change: Object) -> Object:
    """Give a copy with a change merged into it."""
    result = dict(target)
    for key, value in change.items():
        before = result.get(key)
        if isinstance(value, dict):
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


async def test_random_sequences_have_the_same_answers(both: Both):
    async def scenario(side: Side) -> Any:
        at_once = asyncio.Semaphore(16)

        async def answers(seed: int) -> Any:
            async with at_once:
                sequence = Sequence(side, seed)
                await sequence.run()
                return Normal(ECHO)(sequence.side.transcript)

        return await asyncio.gather(*map(answers, range(SEQUENCES)))

    await both.compare(scenario, kind="*", feature=f"{SEQUENCES} random sequences of {LENGTH} operations", rules=ECHO)
