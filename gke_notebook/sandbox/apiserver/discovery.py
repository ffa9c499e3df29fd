"""What the API serves, in the legacy and the aggregated form of discovery.

Source: the discovery documents that Kubernetes 1.34 publishes in its source (`api/discovery`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from .kinds import KINDS, Kind, Subresource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

# The order a real server prefers them in.
GROUPS = (
    "authentication.k8s.io", "authorization.k8s.io", "batch", "rbac.authorization.k8s.io",
    "admissionregistration.k8s.io", "scheduling.k8s.io", "coordination.k8s.io",
)  # fmt: skip

_BEFORE_SCHEDULING = ("apiextensions.k8s.io",)


def wants_aggregated(accept: str) -> bool:
    """Tell whether an `Accept` header asks for the aggregated form before any other that we can give.

    Args:
        accept: the header.

    Example:
        >>> wants_aggregated("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")
        True
    """
    for entry in accept.split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        found = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media in {"application/json", "*/*", "application/*"} and "as" not in found:
            return False
        if (
            media == "application/json"
            and found.get("as") == "APIGroupDiscoveryList"
            and found.get("g") == "apidiscovery.k8s.io"
            and found.get("v") == "v2"
        ):
            return True
    return False


def _kinds(group: str, more: Sequence[Kind] = ()) -> list[Kind]:
    return [kind for kind in (*KINDS, *more) if kind.group == group]


def _versions(group: str, more: Sequence[Kind] = ()) -> list[str]:
    return list(dict.fromkeys(kind.version for kind in _kinds(group, more)))


def groups(more: Sequence[Kind] = ()) -> list[str]:
    """Give the groups in the order a real server prefers them in.

    Args:
        more: the kinds that are served besides `KINDS`; their groups come last, but that of the definitions.
    """
    found = sorted({kind.group for kind in more} - {"", *GROUPS, *_BEFORE_SCHEDULING})
    early = [group for group in _BEFORE_SCHEDULING if group not in GROUPS and _kinds(group, more)]
    cut = GROUPS.index("scheduling.k8s.io")
    return [*GROUPS[:cut], *early, *GROUPS[cut:], *found]


def _response_kind(kind: Kind, subresource: Subresource | None = None) -> dict[str, str]:
    name = kind.kind if subresource is None else subresource.kind or kind.kind
    group, version = (subresource.group, subresource.version) if subresource is not None else ("", "")
    return {"group": group, "version": version, "kind": name}


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    if kind.subresources:
        found["subresources"] = [
            {"subresource": each.name, "responseKind": _response_kind(kind, each), "verbs": list(each.verbs)}
            for each in kind.subresources
        ]
    return found


def aggregated(more: Sequence[Kind] = (), *, core: bool) -> dict[str, Any]:
    """Give the aggregated document of `/api` (core) or `/apis`.

    Args:
        more: the kinds that are served besides `KINDS`.
        core: whether the core group is asked for.
    """
    items = []
    for group in ("",) if core else groups(more):
        versions = [
            {
                "version": version,
                "resources": [_aggregated_resource(kind) for kind in _kinds(group, more) if kind.version == version],
                "freshness": "Current",
            }
            for version in _versions(group, more)
        ]
        # The real document gives the core group an empty metadata object.
        items.append({"metadata": {"name": group} if group else {}, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def api_versions(address: str) -> dict[str, Any]:
    """Give the legacy document of `/api`.

    Args:
        address: host and port of the server.
    """
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def _group(name: str, more: Sequence[Kind]) -> dict[str, Any]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _versions(name, more)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def api_groups(more: Sequence[Kind] = ()) -> dict[str, Any]:
    """Give the legacy document of `/apis`.

    Args:
        more: the kinds that are served besides `KINDS`.
    """
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name, more) for name in groups(more)]}


def api_group(name: str, more: Sequence[Kind] = ()) -> dict[str, Any] | None:
    """Give the legacy document of `/apis/GROUP`, None when the group is not served.

    Args:
        name: the group.
        more: the kinds that are served besides `KINDS`.
    """
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, more)} if name in groups(more) else None


def _storage_hash(kind: Kind) -> str:
    """Give a value that changes only when the kind is stored in another form, as real servers' hashes do."""
    text = f"{kind.group}/{kind.version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _legacy(kind: Kind) -> list[dict[str, Any]]:
    found: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        found["shortNames"] = list(kind.short_names)
    if kind.categories:
        found["categories"] = list(kind.categories)
    if kind.stored:
        found["storageVersionHash"] = _storage_hash(kind)
    rows = [found]
    for each in kind.subresources:
        row: dict[str, Any] = {"name": f"{kind.plural}/{each.name}", "singularName": "", "namespaced": kind.namespaced}
        if each.group:
            row.update(group=each.group, version=each.version)
        rows.append({**row, "kind": each.kind or kind.kind, "verbs": list(each.verbs)})
    return rows


def api_resources(group: str, version: str, more: Sequence[Kind] = ()) -> dict[str, Any] | None:
    """Give the legacy document of `/api/v1` or `/apis/GROUP/VERSION`, None when it is not served.

    Args:
        group: the group, empty for the core group.
        version: the version.
        more: the kinds that are served besides `KINDS`.
    """
    kinds = [kind for kind in _kinds(group, more) if kind.version == version]
    if not kinds:
        return None
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),  # the real document of the core group has none
        "groupVersion": kinds[0].api_version,
        "resources": [row for kind in kinds for row in _legacy(kind)],
    }
