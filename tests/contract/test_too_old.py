"""Versions that a server no longer knows, or does not know yet: 410 and 504."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

import base64
import json
from typing import Any

from gke_notebook.cluster.resources import CONFIG_MAPS
from tests.contract.both import Both, Side
from tests.contract.samples import config_map

MERGE = "application/merge-patch+json"
COUNTS = [
    (r"too old resource version: (\d+) \(\d+\)", r"too old resource version: \1 (<oldest>)"),
    (r"current: \d+", "current: <version>"),
]
# The embedded server forgets what is older than 48 MiB of changes to a kind; the real one's cache began later than this.
OLD, CHANGES, SIZE = 1, 60, 900_000


def token(version: int, start: str) -> str:
    """Give a continue token as a server would have given it when that version was the newest."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def forget(side: Side) -> None:
    """Make the embedded server forget its first versions."""
    await side.ask("POST", side.path(CONFIG_MAPS), config_map("c", labels={"in": "list"}), record=False)
    await side.ask("POST", side.path(CONFIG_MAPS), config_map("d", labels={"in": "list"}), record=False)
    if side.name != "embedded":
        return
    for index in range(CHANGES):
        change = {"data": {"a": f"{index}" + "x" * SIZE}}
        await side.ask("PATCH", side.path(CONFIG_MAPS, "c"), change, content_type=MERGE, record=False)
    await side.ask("PATCH", side.path(CONFIG_MAPS, "c"), {"data": {"a": "1"}}, content_type=MERGE, record=False)


async def test_too_old(both: Both):
    lists: dict[str, list[Any]] = {}

    async def scenario(side: Side) -> Any:
        await forget(side)
        path, only = side.path(CONFIG_MAPS), {"labelSelector": "in=list"}
        watch = {**only, "watch": "1", "timeoutSeconds": "1", "resourceVersion": str(OLD)}
        await side.ask("GET", path, params=watch)
        await side.ask("GET", path, params={**watch, "allowWatchBookmarks": "true"})
        await side.ask("GET", path + "/c", params={"watch": "1", "timeoutSeconds": "1", "resourceVersion": str(OLD)})
        exact = {**only, "resourceVersion": str(OLD), "resourceVersionMatch": "Exact"}
        lists[side.name] = [
            await side.ask("GET", path, params=params, record=False)
            for params in (exact, {**exact, "limit": "1"}, {**only, "continue": token(OLD, "c\0")}, {"limit": "1", "continue": token(OLD, "b\0")})
        ]  # fmt: skip
        # The token that comes with such a refusal goes on with what is there now.
        fresh = {**only, "continue": token(-1, "c\0")}
        again = await side.ask("GET", path, params=fresh, record=False)
        for item in again["body"]["items"]:
            side.transcript.append([item["metadata"]["name"], item["data"]])
        for params in (
            {**only, "continue": token(99_999_999_999, "c\0")}, {**only, "continue": token(0, "c\0")}, {"continue": token(OLD, "")},
            {"continue": token(OLD, "c\0"), "resourceVersion": "1"}, {"continue": token(OLD, "../c\0")},
            {**only, "resourceVersion": "99999999999"}, {**only, "resourceVersion": "99999999999", "resourceVersionMatch": "NotOlderThan"},
        ):  # fmt: skip
            await side.ask("GET", path, params=params)

    await both.compare(scenario, kind="*", feature="too old, or too new, a version: 410, 504", rules=COUNTS)
    embedded, real = ([brief(each) for each in lists[name]] for name in ("embedded", "real"))
    assert {each[0] for each in embedded} == {410}
    # A real server compacts its storage every five minutes; one that is younger still knows its first version.
    assert embedded == real or {each[0] for each in real} == {200}


def brief(answer: dict[str, Any]) -> list[Any]:
    return [answer["status"], answer["body"] if answer["status"] >= 400 else None]
