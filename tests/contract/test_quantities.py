"""Quantities, on both servers: what is read, and how it is written."""

from __future__ import annotations

import asyncio
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


RATIOS = [
    ("1.1", "1", "1100m"), ("1.1", "2", "2200m"), ("1.1", "1", "1099m"), ("3", "100m", "300m"), ("3", "100m", "301m"),
    ("1500m", "200m", "300m"), ("1.3", "7", "9100m"), ("1.7", "700m", "1190m"), ("2", "3n", "7n"), ("2", "1Ki", "2049"),
    ("2.5", "1Gi", "2560Mi"), ("1k", "1m", "1"), ("1k", "1m", "1001m"), ("1", "8Pi", "8193Ti"), ("2", "8Pi", "17Pi"),
    ("1.001", "1E", "1001P"), ("1.5", "333m", "500m"),
]  # fmt: skip


async def test_ratios(both: Both):
    """The ratio of a limit to a request is reckoned in floating point."""

    async def scenario(side: Side) -> Any:
        found = []
        for bound, request, limit in RATIOS:
            bounds = {"type": "Container", "maxLimitRequestRatio": {"memory": bound}}
            body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "q"}, "spec": {"limits": [bounds]}}
            await side.client.create(LIMITS, body, side.namespace)
            amounts = {"requests": {"memory": request}, "limits": {"memory": limit}}
            spec = {"containers": [{"name": "c", "image": "x", "resources": amounts}]}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
            answer = await _once_known(side, pod, bound)
            found.append([bound, request, limit, answer["status"], answer["body"].get("message")])
            await side.client.delete(LIMITS, "q", side.namespace)
            await _once_known(side, pod, None)
        return found

    await both.compare(scenario, kind="LimitRange", feature="ratios of limits to requests")


async def _once_known(side: Side, pod: Any, bound: str | None) -> Any:
    """Ask when the limit range, or its end, is known to the server, which looks at a copy that comes a moment later."""
    probe = {**pod, "spec": {"containers": [{"name": "c", "image": "x"}]}}  # refused by any bound of a ratio
    for _ in range(600):
        answer = await side.ask("POST", side.path(PODS), probe, params={"dryRun": "All"}, record=False)
        said = str(answer["body"].get("message", ""))
        if (bound is None and answer["status"] == 201) or (bound is not None and "ratio per Container" in said):
            return await side.ask("POST", side.path(PODS), pod, params={"dryRun": "All"}, record=False)
        await asyncio.sleep(0.05)
    raise AssertionError(f"the limit range is not known: {said}")
