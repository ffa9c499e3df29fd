"""Who a request comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = "system:anonymous"
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class User:
    """Who a token belongs to.

    Args:
        name: the user's name.
        groups: the user's groups; `system:masters` may do everything.
        uid: the user's uid, if it has one.
        extra: what else is known of the user.
        exact: whether `groups` are all groups; else everybody who is known is in `system:authenticated` too.
    """

    name: str
    groups: tuple[str, ...] = (AUTHENTICATED,)
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    exact: bool = False

    @property
    def all_groups(self) -> tuple[str, ...]:
        """The groups, with the one of everybody who is known."""
        if self.exact or AUTHENTICATED in self.groups:
            return self.groups
        return (*self.groups, AUTHENTICATED)

    @property
    def info(self) -> dict[str, Any]:
        """The user as reviews show it."""
        found: dict[str, Any] = {"username": self.name, "groups": list(self.all_groups)}
        if self.uid:
            found["uid"] = self.uid
        if self.extra:
            found["extra"] = {key: list(values) for key, values in self.extra.items()}
        return found


def account_name(namespace: str, name: str) -> str:
    """Give the user name of a service account.

    Args:
        namespace: its namespace.
        name: its name.
    """
    return f"{_ACCOUNT}{namespace}:{name}"


def account_groups(namespace: str) -> tuple[str, ...]:
    """Give the groups of the service accounts of a namespace.

    Args:
        namespace: the namespace.
    """
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def split_account(user: str) -> tuple[str, str] | None:
    """Give namespace and name of the service account that a user name stands for, None for other users.

    Args:
        user: the user name.
    """
    namespace, colon, name = user.removeprefix(_ACCOUNT).partition(":")
    return (namespace, name) if user.startswith(_ACCOUNT) and colon and namespace and name and ":" not in name else None
