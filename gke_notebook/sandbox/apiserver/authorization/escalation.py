"""Nobody gives away rights that they do not have.

Source: kubernetes v1.34, pkg/registry/rbac/{clusterrole,role,clusterrolebinding,rolebinding}/policybased.
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver import status
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.status import StatusError, quote

from .resolver import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, Authorizer
from .rules import Attributes, Rule, missing
from .users import MASTERS, User

Object = dict[str, Any]
_ALL: list[Rule] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def applies(kind: Kind, user: User) -> bool:
    """Tell whether writes of a kind by a user have to be looked at.

    Args:
        kind: what is written.
        user: who writes.
    """
    return kind.group == GROUP and MASTERS not in user.groups


def check(authorizer: Authorizer, kind: Kind, user: User, new: Object, old: Object | None) -> None:
    """Refuse a role or a binding that would give away what its writer does not have.

    Args:
        authorizer: knows the writer's rights.
        kind: one of the four kinds of RBAC.
        user: who writes.
        new: the object after the change.
        old: the object as stored, None when it is new.

    Raises:
        StatusError: 403, or 404 when the bound role is not there.
    """
    meta = new["metadata"]
    namespace, name = meta.get("namespace") or "", meta.get("name") or ""
    if old is not None and _same_rights(new, old) and _only_owners(meta, old["metadata"]):
        return
    if kind in {ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS}:
        reference = new.get("roleRef") or {}
        plural = {"Role": "roles", "ClusterRole": "clusterroles"}.get(str(reference.get("kind")), "")
        asked = Attributes("bind", GROUP, plural, "", namespace, str(reference.get("name", "")))
        if not plural or authorizer.decide(user, asked)[0]:
            return
        try:
            wanted = authorizer.referenced(reference, namespace)
        except StatusError as error:
            raise status.not_found(kind, str(reference.get("name", ""))) from error
    else:
        # The request that creates something names nothing yet.
        asked = Attributes("escalate", GROUP, kind.plural, "", namespace, name if old is not None else "")
        if authorizer.decide(user, asked)[0]:
            return
        wanted = new.get("rules") or []
    owned = authorizer.rules(user, namespace)
    lacking = missing(owned, wanted)
    if lacking:
        groups = " ".join(map(quote, user.all_groups))
        text = (
            f"user {quote(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n"
        )
        raise status.forbidden(kind, name, text + "\n".join(lacking))
    aggregated = any((each or {}).get("aggregationRule") for each in (new, old))
    if kind is CLUSTER_ROLES and aggregated and missing(owned, _ALL):
        raise status.forbidden(kind, name, "must have cluster-admin privileges to use the aggregationRule")


def _same_rights(new: Object, old: Object) -> bool:
    return all(new.get(key) == old.get(key) for key in ("rules", "roleRef", "subjects", "aggregationRule"))


def _only_owners(new: Object, old: Object) -> bool:
    ignored = {"ownerReferences", "finalizers", "managedFields", "resourceVersion"}
    return {key: new[key] for key in new if key not in ignored} == {key: old[key] for key in old if key not in ignored}
