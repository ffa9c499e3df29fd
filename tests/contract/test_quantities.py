"""Quantities, on both servers: what is read, and how it is written."""

from __future__ import annotations

import random
from typing import Any

from gke_notebook.cluster.resources import PODS, Resource
from tests.contract.both import Both, Side
from tests.unit.test_sandbox_quantity import ANSWERS

LIMITS = Resource("", "v1", "limitranges", "LimitRange")
SUFFIXES = [
    "",
    "n",
    "u",
    "m",
    "k",
    "M",
    "G",
    "T",
    "P",
    "Ki",
    "Mi",
    "Gi",
    "Ti",
    "Pi",
    "e3",
    "e-3",
    "E6",
    "e0",
    "e-9",
    "e2",
]


def random_quantity(source: random.Random) -> str:
    number = str(source.randrange(10 ** source.randrange(1, 13)))
    if source.random() < 0.6:
        number += "." + str(source.randrange(10 ** source.randrange(1, 11))).rjust(source.randrange(1, 11), "0")
    return source.choice(["", "", "", "-", "+"]) + number + source.choice(SUFFIXES)


async def test_amounts_of_resources(both: Both):
    source = random.Random(34)
    texts = [text for text, _ in ANSWERS[::3]] + [random_quantity(source) for _ in range(60)]

    async def scenario(side: Side) -> Any:
        found = {}
        for text in texts:
            limit = {"type": "Container", "max": {"memory": text}}
            body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "q"}, "spec": {"limits": [limit]}}
            answer = (await side.ask("POST", side.path(LIMITS), body, params={"dryRun": "All"}))["body"]
            found[text] = answer.get("message") or answer["spec"]["limits"][0]["max"]
        return found

    await both.compare(scenario, kind="*", feature="quantities: amounts of resources")


async def test_sizes(both: Both):
    """A size is no amount of a resource: it is not rounded to thousandths."""

    async def scenario(side: Side) -> Any:
        found = {}
        for text in ("1Gi", "1.5Gi", "0.5", "100n", "1024", "1e3", "1500m", "01", "1025Ki", 5, 1.5):
            volume = {"name": "v", "emptyDir": {"sizeLimit": text}}
            spec = {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "x"}]}
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": {**spec, "volumes": [volume]}}
            answer = (await side.ask("POST", side.path(PODS), body, params={"dryRun": "All"}))["body"]
            found[str(text)] = answer.get("message") or answer["spec"]["volumes"]
        return found

    await both.compare(scenario, kind="*", feature="quantities: sizes")
