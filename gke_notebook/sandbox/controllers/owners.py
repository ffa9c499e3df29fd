"""Who owns what, and what follows from a deletion; pure.

Rules: kubernetes 1.34, pkg/controller/garbagecollector.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from gke_notebook.cluster.resources import Resource
from gke_notebook.sandbox.controllers.meta import Object, is_deleting, uid

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_REMEMBERED = 20_000

OwnerState = Literal["solid", "absent", "waiting"]
"""An owner that stays, one that is gone, or one that waits for its dependents to go first."""


@dataclass(frozen=True)
class Entry:
    """An object of the graph.

    Args:
        resource: its kind.
        item: the object.
    """

    resource: Resource
    item: Object

    @property
    def uid(self) -> str:
        """The object's uid."""
        return uid(self.item)

    @property
    def owners(self) -> list[Object]:
        """Its owner references."""
        return list(self.item["metadata"].get("ownerReferences") or ())

    def has_finalizer(self, name: str) -> bool:
        """Say whether it has a finalizer."""
        return name in (self.item["metadata"].get("finalizers") or ())

    @property
    def deletes_dependents(self) -> bool:
        """Whether it waits for its dependents to be deleted."""
        return is_deleting(self.item) and self.has_finalizer(FOREGROUND)

    @property
    def orphans_dependents(self) -> bool:
        """Whether it waits for its dependents to be let go."""
        return is_deleting(self.item) and self.has_finalizer(ORPHAN)


@dataclass(frozen=True)
class Verdict:
    """What happens to an object because of its owners.

    Args:
        delete: the propagation policy to delete it with, empty to keep it.
        drop: uids of the owners whose references are taken off.
    """

    delete: str = ""
    drop: tuple[str, ...] = ()


def judge(entry: Entry, owners: Mapping[str, OwnerState], has_dependents: bool) -> Verdict:
    """Decide what happens to an object because of its owners.

    Args:
        entry: the object.
        owners: the state of each owner, by uid.
        has_dependents: whether it owns anything itself.
    """
    if is_deleting(entry.item) or not owners:
        return Verdict()
    others = tuple(name for name, state in owners.items() if state != "solid")
    if len(others) < len(owners):
        return Verdict(drop=others)
    if has_dependents and "waiting" in owners.values():
        return Verdict(delete="Foreground")
    if entry.has_finalizer(ORPHAN):
        return Verdict(delete="Orphan")
    return Verdict(delete="Foreground" if entry.has_finalizer(FOREGROUND) else "Background")


class Graph:
    """All objects and who owns them, kept up to date change by change."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._dependents: dict[str, set[str]] = {}
        self._absent: OrderedDict[str, None] = OrderedDict()

    def put(self, resource: Resource, item: Object) -> set[str]:
        """Take a new or changed object, and say which objects have to be looked at.

        Args:
            resource: its kind.
            item: the object.
        """
        entry = Entry(resource, item)
        previous = self.entries.get(entry.uid)
        self._absent.pop(entry.uid, None)
        if previous is not None:
            self._unlink(previous)
        self.entries[entry.uid] = entry
        affected: set[str] = set()
        for owner in entry.owners:
            self._dependents.setdefault(str(owner.get("uid")), set()).add(entry.uid)
            known = self.entries.get(str(owner.get("uid")))
            if known is None or known.deletes_dependents:
                affected.add(entry.uid)
        if previous is not None and previous.owners != entry.owners:
            affected |= self._waiting_owners(previous)
        if entry.deletes_dependents or entry.orphans_dependents:
            affected.add(entry.uid)
        return affected

    def remove(self, gone: str) -> set[str]:
        """Take an object away, and say which objects have to be looked at.

        Args:
            gone: its uid.
        """
        entry = self.entries.pop(gone, None)
        self.set_absent(gone)
        affected = set(self._dependents.get(gone, ()))
        if entry is not None:
            self._unlink(entry)
            affected |= self._waiting_owners(entry)
        return affected

    def set_absent(self, owner: str) -> None:
        """Remember that an owner does not exist."""
        self._absent[owner] = None
        if len(self._absent) > _REMEMBERED:
            self._absent.popitem(last=False)

    def state(self, owner: Object, namespace: str) -> OwnerState | None:
        """Say what is known of an owner; None when the server has to be asked.

        Args:
            owner: the owner reference.
            namespace: that of the dependent; an owner must live there or be cluster-scoped.
        """
        entry = self.entries.get(str(owner.get("uid")))
        if entry is None:
            return "absent" if owner.get("uid") in self._absent else None
        metadata = entry.item["metadata"]
        elsewhere = entry.resource.namespaced and metadata.get("namespace", "") != namespace
        if elsewhere or entry.resource.kind != owner.get("kind") or metadata["name"] != owner.get("name"):
            return "absent"
        return "waiting" if entry.deletes_dependents else "solid"

    def dependents(self, owner: str) -> list[Entry]:
        """Give what an object owns."""
        return [self.entries[name] for name in self._dependents.get(owner, ()) if name in self.entries]

    def blocking(self, owner: str) -> list[Entry]:
        """Give what must go before an owner that is deleted in the foreground."""
        return [entry for entry in self.dependents(owner) if blocks(entry.owners, owner)]

    def _unlink(self, entry: Entry) -> None:
        for owner in entry.owners:
            owned = self._dependents.get(str(owner.get("uid")))
            if owned is not None:
                owned.discard(entry.uid)
                if not owned:
                    del self._dependents[str(owner.get("uid"))]

    def _waiting_owners(self, entry: Entry) -> set[str]:
        owners = {str(owner.get("uid")) for owner in entry.owners}
        return {
            name
            for name in owners
            if name in self.entries and (self.entries[name].deletes_dependents or self.entries[name].orphans_dependents)
        }


def blocks(owners: Collection[Object], owner: str) -> bool:
    """Say whether a dependent with these owner references holds back the deletion of one of them."""
    return any(item.get("uid") == owner and item.get("blockOwnerDeletion") for item in owners)
