"""From a user to the rules that bind them, and the decision that follows.

Source: kubernetes v1.34, pkg/registry/rbac/validation/rule.go and plugin/pkg/auth/authorizer/rbac/rbac.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gke_notebook.sandbox.apiserver import status
from gke_notebook.sandbox.apiserver.kinds import Kind, find
from gke_notebook.sandbox.apiserver.status import StatusError, quote
from gke_notebook.sandbox.apiserver.store import Store

from .rules import Attributes, Rule, allows
from .users import MASTERS, User, account_name

Object = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"


def _kind(plural: str) -> Kind:
    found = find(GROUP, "v1", plural)
    assert found is not None
    return found


ROLES, ROLE_BINDINGS = _kind("roles"), _kind("rolebindings")
CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS = _kind("clusterroles"), _kind("clusterrolebindings")


class Authorizer:
    """Decides what users may do.

    Args:
        store: the state, where the roles and their bindings are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._decoded: dict[str, tuple[int, dict[tuple[str, str], Object]]] = {}

    def decide(self, user: User, asked: Attributes) -> tuple[bool, str]:
        """Decide whether a user may do something.

        Args:
            user: who asks.
            asked: what for.

        Returns:
            Whether, and why, in the server's words.
        """
        if MASTERS in user.groups:
            return True, ""
        problems: list[str] = []
        for source, rule in self.visit(user, asked.namespace, problems):
            if allows(rule, asked):
                return True, f"RBAC: allowed by {source}"
        if not problems:
            return False, ""
        found = list(dict.fromkeys(problems))
        return False, "RBAC: " + (found[0] if len(found) == 1 else "[" + ", ".join(found) + "]")

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Give every rule that holds for a user in a namespace.

        Args:
            user: who.
            namespace: where; empty for the whole cluster.
        """
        return [rule for _, rule in self.visit(user, namespace, [])]

    def visit(self, user: User, namespace: str, problems: list[str]) -> Iterator[tuple[str, Rule]]:
        """Go through the rules that hold for a user, each with the words for where it comes from.

        Args:
            user: who.
            namespace: where; empty for the whole cluster.
            problems: is given the roles that are bound but not there.
        """
        for _, binding in sorted(self._objects(CLUSTER_ROLE_BINDINGS).items()):
            yield from self._bound(user, binding, "", problems)
        if namespace:
            for key, binding in sorted(self._objects(ROLE_BINDINGS).items()):
                if key[0] == namespace:
                    yield from self._bound(user, binding, namespace, problems)

    def _bound(self, user: User, binding: Object, namespace: str, problems: list[str]) -> Iterator[tuple[str, Rule]]:
        subject = next((each for each in binding.get("subjects") or () if _applies(user, each, namespace)), None)
        if subject is None:
            return
        reference = binding["roleRef"]
        try:
            rules = self.referenced(reference, namespace)
        except StatusError as error:
            problems.append(error.message)
            return
        kind, name = ("RoleBinding", "/" + namespace) if namespace else ("ClusterRoleBinding", "")
        shown = subject["name"]
        if subject["kind"] == "ServiceAccount":
            shown += "/" + (subject.get("namespace") or namespace)
        source = (
            f"{kind} {quote(binding['metadata']['name'] + name)} of {reference['kind']} {quote(reference['name'])} "
            f"to {subject['kind']} {quote(shown)}"
        )
        for rule in rules:
            yield source, rule

    def referenced(self, reference: Object, namespace: str) -> list[Rule]:
        """Give the rules of the role that a binding names.

        Args:
            reference: the `roleRef`.
            namespace: the binding's namespace, empty for a ClusterRoleBinding.

        Raises:
            StatusError: 404.
        """
        local = reference.get("kind") == "Role"
        kind = ROLES if local else CLUSTER_ROLES
        role = self._objects(kind).get((namespace if local else "", str(reference.get("name", ""))))
        if role is None:
            name = str(reference.get("name", ""))
            text = f"{kind.singular}.{GROUP} {quote(name)} not found"
            details = {"name": name, "group": GROUP, "kind": kind.singular}
            raise StatusError(404, "NotFound", text, details)
        return role.get("rules") or []

    def _objects(self, kind: Kind) -> dict[tuple[str, str], Object]:
        collection = self._store.of(kind)
        known = self._decoded.get(kind.plural)
        if known is None or known[0] != collection.changed:
            found = {entry.key: entry.object() for entry in collection.all()}
            known = self._decoded[kind.plural] = (collection.changed, found)
        return known[1]


def _applies(user: User, subject: Object, namespace: str) -> bool:
    name = subject.get("name")
    match subject.get("kind"):
        case "User":
            return user.name == name
        case "Group":
            return name in user.all_groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return bool(where) and user.name == account_name(where, str(name))
        case _:
            return False


def denial(kind: Kind, user: User, asked: Attributes, reason: str = "") -> StatusError:
    """Say that a user may not do something.

    Args:
        kind: what it is about.
        user: who asked.
        asked: what for.
        reason: why, if there is more to say.
    """
    return status.forbidden(kind, asked.name, denial_text(user, asked) + (f": {reason}" if reason else ""))


def denial_text(user: User, asked: Attributes) -> str:
    """Give the words for what a user may not do.

    Args:
        user: who asked.
        asked: what for.
    """
    if asked.path:
        text = f"User {quote(user.name)} cannot {asked.verb} path {quote(asked.path)}"
    else:
        where = f"in the namespace {quote(asked.namespace)}" if asked.namespace else "at the cluster scope"
        text = (
            f"User {quote(user.name)} cannot {asked.verb} resource {quote(asked.full_resource)} "
            f"in API group {quote(asked.group)} {where}"
        )
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
