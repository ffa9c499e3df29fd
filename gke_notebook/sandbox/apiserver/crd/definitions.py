"""The kinds that custom resource definitions have brought, and the life of the definitions.

Source: k8s.io/apiextensions-apiserver v0.34 (`pkg/controller/status`, `establish` and `finalizer`).
"""

from __future__ import annotations

import copy
from typing import Any

from gke_notebook.sandbox.apiserver import deletes, metadata, status, writes
from gke_notebook.sandbox.apiserver.kinds import STATUS, Kind, Subresource
from gke_notebook.sandbox.apiserver.options import DeleteOptions, WriteOptions
from gke_notebook.sandbox.apiserver.paths import Target
from gke_notebook.sandbox.apiserver.store import Entry, Store

from . import definition_checks
from .definition_rules import DEFINITIONS
from .rules import CustomRules

Object = dict[str, Any]

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_MANAGER = WriteOptions(manager="kube-apiserver")


class Definitions:
    """What the definitions in a store say is served.

    Args:
        store: the state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = -1
        self._kinds: tuple[Kind, ...] = ()
        self._made: dict[tuple[str, int], Kind] = {}
        self._settled = -1
        self._ending = False

    def kinds(self) -> tuple[Kind, ...]:
        """Give that of the definitions, and all that they have brought."""
        collection = self._store.of(DEFINITIONS)
        if collection.changed != self._seen or not self._kinds:
            made = {}
            for entry in collection.all():
                key = entry.name, entry.revision
                kind = self._made.get(key) or kind_of(entry.object())
                if kind is not None:
                    made[key] = kind
            self._made, self._seen = made, collection.changed
            self._kinds = (DEFINITIONS, *made.values())
        return self._kinds

    def check_open(self, kind: Kind, name: str) -> None:
        """Refuse to create an object of a kind whose definition is being deleted.

        Args:
            kind: the kind.
            name: the object's name.

        Raises:
            StatusError: 403.
        """
        entry = self._store.get(DEFINITIONS, "", kind.resource_name)
        if kind is not DEFINITIONS and entry is not None and entry.object()["metadata"].get("deletionTimestamp"):
            why = "create not allowed while custom resource definition is terminating"
            raise status.forbidden(kind, name, why)

    def begin_delete(self, target: Target, options: DeleteOptions) -> None:
        """Mark a definition for deletion; its objects go first.

        Args:
            target: the definition.
            options: what the client said.
        """
        entry = self._store.get(DEFINITIONS, "", target.name)
        if entry is None or options.dry_run:
            return
        obj = entry.object()
        meta = obj["metadata"]
        if options.uid and options.uid != meta["uid"]:
            raise status.precondition_uid(DEFINITIONS, target.name, options.uid, meta["uid"])
        if options.version and options.version != meta["resourceVersion"]:
            raise status.precondition_version(DEFINITIONS, target.name, options.version, meta["resourceVersion"])
        if meta.get("deletionTimestamp"):
            return
        meta["deletionTimestamp"] = metadata.timestamp()
        meta["finalizers"] = [*(meta.get("finalizers") or ()), FINALIZER]
        text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        _condition(obj, "Terminating", "True", "InstanceDeletionPending", text)
        self._store.put(DEFINITIONS, obj)

    def settle(self) -> None:
        """Do what the server's own controllers do after a change: accept names, establish, clean up."""
        collection = self._store.of(DEFINITIONS)
        if collection.changed == self._settled and not self._ending:
            return  # an object has changed, and no definition
        self._settled, self._ending = collection.changed, False
        for entry in list(collection.all()):
            obj = entry.object()
            if obj["metadata"].get("deletionTimestamp"):
                self._ending = True
                self._clean_up(entry, obj)
            else:
                self._accept(entry, obj)

    def _accept(self, entry: Entry, obj: Object) -> None:
        names, found = obj["spec"]["names"], obj.setdefault(STATUS, {})
        reason, text = self._conflict(obj)
        accepted = not reason
        before = copy.deepcopy(obj)
        _condition(obj, "NamesAccepted", str(accepted), reason or "NoConflicts", text or "no conflicts found")
        if accepted:
            found["acceptedNames"] = copy.deepcopy(names)
            _condition(obj, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
        elif not _is_true(obj, "Established"):
            _condition(obj, "Established", "False", "NotAccepted", "not all names are accepted")
        if obj != before:
            self._write_status(entry, obj)

    def _conflict(self, obj: Object) -> tuple[str, str]:
        """Give why names cannot be accepted, and in which words; empty when nobody else has them."""
        spec = obj["spec"]
        words: set[str] = set()
        kinds: set[str] = set()
        for entry in self._store.of(DEFINITIONS).all():
            other = entry.object()
            if entry.name == obj["metadata"]["name"] or other["spec"].get("group") != spec["group"]:
                continue
            names = (other.get(STATUS) or {}).get("acceptedNames") or {}
            words |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())} - {""}
            kinds |= {names.get("kind", ""), names.get("listKind", "")} - {""}
        names = spec["names"]
        for reason, taken, wanted in (
            ("PluralConflict", words, names["plural"]),
            ("SingularConflict", words, names["singular"]),
            *(("ShortNamesConflict", words, name) for name in names.get("shortNames") or ()),
            ("KindConflict", kinds, names["kind"]),
            ("ListKindConflict", kinds, names["listKind"]),
        ):
            if wanted in taken:
                return reason, f"{status.quote(wanted)} is already in use"
        return "", ""

    def _clean_up(self, entry: Entry, obj: Object) -> None:
        if FINALIZER not in (obj["metadata"].get("finalizers") or ()):
            return
        kind = kind_of(obj)
        if kind is not None:
            for each in list(self._store.of(kind).all()):
                if not each.object()["metadata"].get("deletionTimestamp"):
                    deletes.delete(self._store, Target(kind, each.namespace, each.name), DeleteOptions())
            if self._store.of(kind).all():
                before = copy.deepcopy(obj)
                text = "CustomResource deletion is in progress"
                _condition(obj, "Terminating", "True", "InstanceDeletionInProgress", text)
                if obj != before:
                    self._write_status(entry, obj)
                return
        left = [each for each in obj["metadata"]["finalizers"] if each != FINALIZER]
        obj["metadata"]["finalizers"] = left
        writes.replace(self._store, Target(DEFINITIONS, "", entry.name), entry, obj, _MANAGER, owned=True)

    def _write_status(self, entry: Entry, obj: Object) -> None:
        writes.replace(self._store, Target(DEFINITIONS, "", entry.name, STATUS), entry, obj, _MANAGER)


def kind_of(obj: Object) -> Kind | None:
    """Make the kind that a definition brings; None while it is not established.

    Args:
        obj: the definition.
    """
    if not _is_true(obj, "Established"):
        return None
    spec, version = obj["spec"], definition_checks.storage(obj)
    names = (obj.get(STATUS) or {}).get("acceptedNames") or spec["names"]
    schema = version["schema"]["openAPIV3Schema"]
    has_status = STATUS in (version.get("subresources") or {})
    return Kind(
        group=spec["group"], version=version["name"], plural=names["plural"], singular=names["singular"],
        kind=names["kind"], namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()),
        subresources=(Subresource(STATUS, ("get", "patch", "update")),) if has_status else (),
        rules=CustomRules(spec["group"], names["kind"], schema, version),
    )  # fmt: skip


def _is_true(obj: Object, name: str) -> bool:
    conditions = (obj.get(STATUS) or {}).get("conditions") or ()
    return any(each.get("type") == name and each.get("status") == "True" for each in conditions)


def _condition(obj: Object, name: str, value: str, reason: str, message: str) -> None:
    """Set a condition in place; its time moves only when its value does."""
    found = obj.setdefault(STATUS, {})
    conditions = found.get("conditions") or []
    new = {"type": name, "status": value, "reason": reason, "message": message}
    old = next((each for each in conditions if each.get("type") == name), None)
    moved = old is None or old.get("status") != value
    new["lastTransitionTime"] = metadata.timestamp() if moved or old is None else old.get("lastTransitionTime")
    found["conditions"] = [new if each is old else each for each in conditions] + ([new] if old is None else [])
