"""What the API server serves: the kinds that own, are owned, and live in namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import Resource
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers.meta import Object


@dataclass(frozen=True)
class Served:
    """A kind the server serves.

    Args:
        resource: the kind.
        verbs: what can be done with it.
    """

    resource: Resource
    verbs: frozenset[str]


def read_resources(group_version: str, listing: Object) -> list[Served]:
    """Read one `APIResourceList`; subresources are left out.

    Args:
        group_version: for example ``batch/v1``.
        listing: the list.
    """
    group, _, version = group_version.rpartition("/")
    found = []
    for item in listing.get("resources") or ():
        if "/" in item["name"]:
            continue
        resource = Resource(
            item.get("group") or group,
            item.get("version") or version,
            item["name"],
            item["kind"],
            bool(item.get("namespaced")),
        )
        found.append(Served(resource, frozenset(item.get("verbs") or ())))
    return found


def preferred(groups: Object) -> list[str]:
    """Give the group versions to use out of an `APIGroupList`: one of each group, so that no object is seen twice."""
    found = []
    for group in groups.get("groups") or ():
        version = (group.get("preferredVersion") or {}).get("groupVersion")
        versions = [item["groupVersion"] for item in group.get("versions") or ()]
        found += [version] if version else versions[:1]
    return found


async def discover(client: Client) -> Mapping[tuple[str, str], Served]:
    """Ask the server what it serves.

    Args:
        client: the client to ask with.

    Returns:
        What is served, by apiVersion and kind.

    Raises:
        ApiError: the server refused.
        ClusterUnreachable: no answer.
    """

    async def read(path: str) -> Object:
        answer: Object = msgspec.json.decode(await client.request("GET", path))
        return answer

    async def group(version: str) -> list[Served]:
        try:
            return read_resources(version, await read(f"/apis/{version}"))
        except ApiError:
            return []  # an aggregated API that is down must not hide all others

    groups = preferred(await read("/apis"))
    core, *others = await asyncio.gather(read("/api/v1"), *(group(version) for version in groups))
    served = read_resources("v1", core if isinstance(core, dict) else {})
    for found in others:
        served += found if isinstance(found, list) else []
    return {(item.resource.api_version, item.resource.kind): item for item in served}
