"""What the API serves, in the legacy and the aggregated form of discovery."""

from __future__ import annotations

from typing import Any

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def wants_aggregated(accept: str) -> bool:
    """Tell whether an `Accept` header asks for the aggregated form first.

    Args:
        accept: the header.
    """
    raise NotImplementedError


def aggregated(*, core: bool) -> dict[str, Any]:
    """Give the aggregated document of `/api` (core) or `/apis`.

    Args:
        core: whether the core group is asked for.
    """
    raise NotImplementedError


def api_versions(address: str) -> dict[str, Any]:
    """Give the legacy document of `/api`.

    Args:
        address: host and port of the server.
    """
    raise NotImplementedError


def api_groups() -> dict[str, Any]:
    """Give the legacy document of `/apis`."""
    raise NotImplementedError


def api_group(name: str) -> dict[str, Any] | None:
    """Give the legacy document of `/apis/GROUP`, None when the group is not served.

    Args:
        name: the group.
    """
    raise NotImplementedError


def api_resources(group: str, version: str) -> dict[str, Any] | None:
    """Give the legacy document of `/api/v1` or `/apis/GROUP/VERSION`, None when it is not served.

    Args:
        group: the group, empty for the core group.
        version: the version.
    """
    raise NotImplementedError
