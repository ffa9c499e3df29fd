"""A reflector that lists page by page."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.reflector import Reflector
from gke_notebook.cluster.resources import PODS
from gke_notebook.errors import ApiError

Object = dict[str, Any]


class Server:
    """Answers lists of ten pods; the revisions of its pages are those it was at when the list began.

    Args:
        forgets: whether it no longer knows how a list goes on.
    """

    def __init__(self, forgets: bool = False) -> None:
        self.forgets = forgets
        self.asked: list[tuple[int, str]] = []

    async def list_raw(
        self, resource: object, namespace: object, *, limit: int, token: str, **_selectors: str
    ) -> bytes:  # the client's, reduced to what is asked here
        assert (resource, namespace) == (PODS, None)
        self.asked.append((limit, token))
        if token and self.forgets:
            raise ApiError(410, "Expired", "too old")
        start = int(token or 0)
        stop = start + (limit or 10)
        items = [{"metadata": {"name": f"pod-{number}", "namespace": "a"}} for number in range(10)[start:stop]]
        more: Object = {"continue": str(stop)} if stop < 10 else {}
        return json.dumps({"metadata": {"resourceVersion": "7", **more}, "items": items}).encode()


def reflector(server: Server, page: int) -> Reflector[Object]:
    return Reflector(cast(Client, server), PODS, dict, compact=Compact(), page=page)


@pytest.mark.parametrize(
    ("page", "asked"),
    [(0, [(0, "")]), (4, [(4, ""), (4, "4"), (4, "8")]), (5, [(5, ""), (5, "5")]), (10, [(10, "")]), (11, [(11, "")])],
)
async def test_every_page_is_read(page: int, asked: list[tuple[int, str]]) -> None:
    server = Server()
    found = reflector(server, page)
    await found._list()
    assert server.asked == asked
    assert list(found.objects) == [("a", f"pod-{number}") for number in range(10)]
    assert found.resource_version == "7"


async def test_a_list_whose_rest_is_forgotten_is_read_at_once() -> None:
    server = Server(forgets=True)
    found = reflector(server, 4)
    await found._list()
    assert server.asked == [(4, ""), (4, "4"), (0, "")]
    assert len(found.objects) == 10
