"""The admission plugin that asks the policies of the store about every write.

Source of rules and texts: k8s.io/apiserver v0.34 (`pkg/admission/plugin/policy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gke_notebook.sandbox.apiserver import status
from gke_notebook.sandbox.apiserver.authorization.users import User
from gke_notebook.sandbox.apiserver.kinds import ADMISSION, Kind, find
from gke_notebook.sandbox.apiserver.options import DeleteOptions, WriteOptions
from gke_notebook.sandbox.apiserver.paths import Target
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.store import Entry, Store
from gke_notebook.sandbox.apiserver.validation.affinity import matches as selects

from . import matching
from .matching import Request

if TYPE_CHECKING:
    from .evaluation import Denial, Policy

Object = dict[str, Any]
Kinds = Callable[[], Iterable[Kind]]

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}


def _kind(plural: str) -> Kind:
    found = find(ADMISSION, "v1", plural)
    assert found is not None
    return found


POLICIES, BINDINGS = _kind("validatingadmissionpolicies"), _kind("validatingadmissionpolicybindings")


class _Config(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """Why a policy or binding cannot be applied."""


class Policies:
    """The policies of a store.

    Args:
        store: the state.
        kinds: gives every kind that is served, for parameters.
    """

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds
        self._made: dict[tuple[str, int], Policy] = {}

    def any(self) -> bool:
        """Tell whether there is a policy at all, which is cheap to ask."""
        return bool(len(self._store.of(POLICIES)) and len(self._store.of(BINDINGS)))

    def check(self, request: Request) -> list[str]:
        """Ask the policies about a write.

        Args:
            request: the write.

        Returns:
            Warnings.

        Raises:
            StatusError: a policy denies it.
        """
        if not self.any() or matching.is_exempt(request.kind):
            return []
        warnings: list[str] = []
        denied: list[tuple[str, Denial]] = []
        bindings: dict[str, list[Object]] = {}
        for entry in self._store.of(BINDINGS).all():
            obj = entry.object()
            bindings.setdefault(obj["spec"].get("policyName", ""), []).append(obj)
        for entry in self._store.of(POLICIES).all():
            if entry.name in bindings:
                self._ask(entry, bindings[entry.name], request, warnings, denied)
        if denied:
            where, first = denied[0]
            error = _denial(request, f"{where} denied request: {first.message}", first.reason or "Invalid")
            error.warnings[:0] = warnings
            raise error
        return warnings

    def _ask(
        self, entry: Entry, bindings: list[Object], request: Request, warnings: list[str],
        denied: list[tuple[str, Denial]],
    ) -> None:  # fmt: skip
        policy = self._policy(entry)
        if not matching.matches(request, policy.spec.get("matchConstraints"), self._labels):
            return
        name = f"ValidatingAdmissionPolicy '{policy.name}'"
        kind = policy.spec.get("paramKind")
        param_kind = None if kind is None else self._find(kind)
        if kind is not None and param_kind is None:
            version = kind.get("apiVersion", "")
            shown = f"{version}, Kind={kind.get('kind', '')}" if "/" in version else f"/{version}, Kind={kind['kind']}"
            text = f"failed to configure policy: failed to find resource referenced by paramKind: '{shown}'"
            denied += [(name, each) for each in policy.configuration_error(text)]
            return
        for binding in bindings:
            if not matching.matches(request, binding["spec"].get("matchResources"), self._labels):
                continue
            bound = binding["metadata"]["name"]
            where = f"{name} with binding '{bound}'"
            try:
                params = self._params(param_kind, binding["spec"].get("paramRef"), request)
            except _Config as error:
                text = f"failed to configure binding: {error}"
                denied += [(where, each) for each in policy.configuration_error(text)]
                continue
            actions = binding["spec"].get("validationActions") or ()
            for param in params:
                for each in policy.check(self._values(request, param)):
                    if each.always or "Deny" in actions:
                        denied.append((where, each))
                    if "Warn" in actions and not each.always:
                        warnings.append(
                            f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{bound}': "
                            f"{each.message}"
                        )

    def _policy(self, entry: Entry) -> Policy:
        from .evaluation import Policy

        key = entry.name, entry.revision
        found = self._made.get(key)
        if found is None:
            self._made = {old: each for old, each in self._made.items() if old[0] != entry.name}
            found = self._made[key] = Policy(entry.object())
        return found

    def _labels(self, namespace: str) -> dict[str, str]:
        entry = self._namespace(namespace)
        return {} if entry is None else entry["metadata"].get("labels") or {}

    def _namespace(self, name: str) -> Object | None:
        kind = find("", "v1", "namespaces")
        assert kind is not None
        entry = self._store.get(kind, "", name) if name else None
        return None if entry is None else entry.object()

    def _find(self, wanted: Object) -> Kind | None:
        version, name = wanted.get("apiVersion"), wanted.get("kind")
        return next((each for each in self._kinds() if each.api_version == version and each.kind == name), None)

    def _params(self, kind: Kind | None, ref: Object | None, request: Request) -> list[Object | None]:
        """Give the parameters of a binding; one that is None when it has none."""
        if kind is None or ref is None:
            return [None]
        namespace = ""
        if kind.namespaced:
            namespace = ref.get("namespace") or request.namespace
            if not namespace:
                raise _Config("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
        elif ref.get("namespace"):
            raise _Config("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        found: list[Object | None] = []
        if ref.get("name"):
            entry = self._store.get(kind, namespace, ref["name"])
            found = [] if entry is None else [entry.object()]
        else:
            entries = self._store.of(kind).all(namespace)
            found = [
                each.object() for each in entries if selects(ref["selector"], each.head["metadata"].get("labels") or {})
            ]
        if not found and ref.get("parameterNotFoundAction") == "Deny":
            raise _Config("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found

    def _values(self, request: Request, param: Object | None) -> Object:
        kind = request.kind
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        gvr = {"group": kind.group, "version": kind.version, "resource": kind.plural}
        asked = {
            "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr, "operation": request.operation,
            "userInfo": request.user, "dryRun": request.dry_run, "options": request.options, "uid": "",
            "object": None, "oldObject": None,
        }  # fmt: skip
        more = {"subResource": request.subresource, "requestSubResource": request.subresource, "name": request.name}
        more["namespace"] = request.namespace
        asked.update({key: value for key, value in more.items() if value})
        namespace = None if request.about_namespace else self._namespace(request.namespace)
        return {
            "object": request.new, "oldObject": request.old, "request": asked, "params": param,
            "namespaceObject": None if namespace is None else _shown_namespace(namespace),
        }  # fmt: skip


def _user(user: User) -> Object:
    return {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.all_groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }


def _options(kind: str, how: WriteOptions | DeleteOptions) -> Object:
    found: Object = {"apiVersion": "meta.k8s.io/v1", "kind": kind}
    if how.dry_run:
        found["dryRun"] = ["All"]
    if isinstance(how, WriteOptions):
        found["fieldManager"] = how.manager
        found["fieldValidation"] = how.validation
    elif how.propagation:
        found["propagationPolicy"] = how.propagation
    return found


def on_write(
    asked: Policies, target: Target, user: User, how: WriteOptions
) -> Callable[[Object, Object | None, str], list[str]]:
    """Give what `WriteOptions.policies` is for one request.

    Args:
        asked: the policies.
        target: what is written.
        user: who writes.
        how: the parameters.
    """

    def ask(new: Object, old: Object | None, name: str) -> list[str]:
        operation, options = ("CREATE", "CreateOptions") if old is None else ("UPDATE", "UpdateOptions")
        kind = target.kind
        namespace = name if kind.kind == "Namespace" and not kind.group else target.namespace
        before = None if old is None else {"apiVersion": kind.api_version, "kind": kind.kind, **old}
        return asked.check(
            Request(
                operation, kind, target.subresource, namespace, name, new, before, _user(user), how.dry_run,
                _options(options, how),
            )
        )  # fmt: skip

    return ask


def on_delete(
    asked: Policies, target: Target, user: User, how: DeleteOptions, said: list[str]
) -> Callable[[Object], None]:
    """Give what `DeleteOptions.policies` is for one request.

    Args:
        asked: the policies.
        target: what is deleted: an object or a collection.
        user: who deletes.
        how: the parameters.
        said: is given the warnings.
    """

    def ask(old: Object) -> None:
        kind, meta = target.kind, old["metadata"]
        namespace = meta["name"] if kind.kind == "Namespace" and not kind.group else meta.get("namespace", "")
        before = {"apiVersion": kind.api_version, "kind": kind.kind, **old}
        said.extend(
            asked.check(
                Request(
                    "DELETE", kind, "", namespace, meta["name"], None, before, _user(user), how.dry_run,
                    _options("DeleteOptions", how),
                )
            )
        )  # fmt: skip

    return ask


_OF_NAMESPACE = frozenset(
    {
        "name", "generateName", "namespace", "labels", "annotations", "uid", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "generation", "resourceVersion", "finalizers",
    }
)  # fmt: skip


def _shown_namespace(namespace: Object) -> Object:
    meta = {key: value for key, value in namespace["metadata"].items() if key in _OF_NAMESPACE}
    return {"metadata": meta, "spec": namespace.get("spec") or {}, "status": namespace.get("status") or {}}


def _denial(request: Request, text: str, reason: str) -> StatusError:
    obj = request.new or request.old or {}
    meta = obj.get("metadata") or {}
    name = request.name or meta.get("name") or meta.get("generateName") or ""
    base = status.forbidden(request.kind, name, text)
    details = {**(base.details or {}), "causes": [{"message": text}]}
    return StatusError(_CODES.get(reason, 422), reason, base.message, details)
