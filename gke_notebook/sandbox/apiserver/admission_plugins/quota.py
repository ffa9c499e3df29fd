"""ResourceQuota: what would go beyond a quota is refused, what is let in is charged at once.

The server has one event loop and the store never waits, so that a check, the charge and the write that follows cannot
be parted by another request: no quota is ever exceeded.

Source: k8s.io/apiserver v0.34, pkg/admission/plugin/resourcequota/controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from gke_notebook.sandbox import quantity, quotas
from gke_notebook.sandbox.apiserver import metadata, status
from gke_notebook.sandbox.apiserver.apply import track
from gke_notebook.sandbox.apiserver.kinds import Kind, find
from gke_notebook.sandbox.apiserver.store import Store
from gke_notebook.sandbox.quotas import Amounts

Object = dict[str, Any]
_MANAGER = "kube-apiserver"
_FOUND = find("", "v1", "resourcequotas")
assert _FOUND is not None
RESOURCE_QUOTAS: Kind = _FOUND


def charges(store: Store, kind: Kind, new: Object, old: Object | None = None) -> list[tuple[Object, Object]]:
    """Check an object against every quota of its namespace.

    Args:
        store: the state.
        kind: the object's kind.
        new: the object as it would be stored.
        old: the object before the change, None when it is new.

    Returns:
        The quotas whose use changes, before and after, for `charge`.

    Raises:
        StatusError: 403, as the server says it.
    """
    namespace = new["metadata"].get("namespace", "")
    if namespace not in store.of(RESOURCE_QUOTAS).namespaces or not _handles(kind, new, old):
        return []
    now = datetime.now(timezone.utc)
    resource = kind.resource_name
    own = quotas.usage(resource, new, now)
    before = quotas.usage(resource, old, now) if old is not None else {}
    changed = []
    for entry in store.of(RESOURCE_QUOTAS).all(namespace):
        quota = entry.object()
        said = admit(kind, quota, (old, new), (before, own))
        if said is not None:
            after = entry.object()
            after["status"]["used"] = said
            changed.append((quota, after))
    return changed


def charge(store: Store, changed: list[tuple[Object, Object]]) -> None:
    """Write down what is used from now on.

    Args:
        store: the state.
        changed: from `charges`.
    """
    for before, after in changed:
        track(
            RESOURCE_QUOTAS, before, after, manager=_MANAGER, operation="Update", subresource="status",
            now=metadata.timestamp(),
        )  # fmt: skip
        store.put(RESOURCE_QUOTAS, after)


def admit(
    kind: Kind, quota: Object, objects: tuple[Object | None, Object], used_by: tuple[Amounts, Amounts]
) -> Amounts | None:
    """Check an object against one quota.

    Args:
        kind: the object's kind.
        quota: the ResourceQuota.
        objects: the object before the change (None when it is new), and as it would be stored.
        used_by: what each of the two uses.

    Returns:
        What is used of the quota then; None when nothing changes.

    Raises:
        StatusError: 403.
    """
    (old, new), (before, own) = objects, used_by
    resource, name = kind.resource_name, new["metadata"].get("name", "")
    quota_name = quota["metadata"]["name"]
    found = quota.get("status") or {}
    hard, used = found.get("hard") or {}, found.get("used") or {}
    names = quotas.tracked(resource, hard)
    if not names or not quotas.in_scope(resource, quota, new):
        return None
    missing = quotas.unsaid(names, new) if resource == "pods" else ""
    if missing:
        raise status.forbidden(kind, name, f"failed quota: {quota_name}: {missing}")
    if any(each not in used for each in names):
        text = f"status unknown for quota: {quota_name}, resources: {','.join(sorted(names))}"
        raise status.forbidden(kind, name, text)
    negative = sorted(each for each, amount in own.items() if quantity.parse(amount) < 0)
    if negative:
        raise status.forbidden(kind, name, f"quota usage is negative for resource(s): {','.join(negative)}")
    charged_before = old is not None and quotas.in_scope(resource, quota, old)
    asked = _more(own, before if charged_before else {})
    asked = {each: amount for each, amount in asked.items() if each in hard}
    if not asked:
        return None
    after = {**used, **{each: quantity.add(used.get(each, "0"), amount) for each, amount in asked.items()}}
    over = [each for each in asked if quantity.parse(after[each]) > quantity.parse(hard[each])]
    if over:
        text = (
            f"exceeded quota: {quota_name}, requested: {_shown(asked, over)}, used: {_shown(used, over)}, "
            f"limited: {_shown(hard, over)}"
        )
        raise status.forbidden(kind, name, text)
    return after


def _handles(kind: Kind, new: Object, old: Object | None) -> bool:
    if kind.plural in quotas.IGNORED:
        return False
    if old is None:
        return True
    if kind.kind == "Pod":
        return quotas.ends(new["spec"]) != quotas.ends(old["spec"])
    return kind.kind == "Service"


def _more(own: Amounts, before: Amounts) -> Amounts:
    """Give what an object uses beyond what it used, without zeros."""
    found: Amounts = {}
    for name, amount in own.items():
        left = quantity.add(amount, f"-{before[name]}") if name in before else amount
        if quantity.parse(left) > 0:
            found[name] = left
    return found


def _shown(amounts: Mapping[str, str], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in sorted(names) if name in amounts)
