"""Who a request comes from, and whether it may pass."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from .authorization.resolver import Authorizer, denial, denial_text
from .authorization.rules import Attributes
from .authorization.tokens import Tokens
from .authorization.users import AUTHENTICATED, MASTERS, User
from .paths import Target
from .status import StatusError

__all__ = ["AUTHENTICATED", "MASTERS", "PUBLIC_PATHS", "Authenticator", "User", "check", "check_path"]

# What a cluster answers to everyone (the ClusterRole system:public-info-viewer).
PUBLIC_PATHS = frozenset({"/version", "/healthz", "/livez", "/readyz"})
_ONE_NAME = re.compile(r"(?:^|,)metadata\.name==?([^,!=]+)(?:,|$)")


class Authenticator:
    """Bearer tokens to users.

    Args:
        tokens: who each token belongs to.
        accounts: knows the tokens of service accounts; None knows none.
    """

    def __init__(self, tokens: Mapping[str, User], accounts: Tokens | None = None) -> None:
        # Digests all have one length, so comparing them says nothing about a token's.
        self._users = [(hashlib.sha256(token.encode()).digest(), user) for token, user in tokens.items() if token]
        self._accounts = accounts

    def user(self, authorization: str) -> User | None:
        """Find the user of an `Authorization` header, in a time that does not depend on the token.

        Args:
            authorization: the header.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = token.strip()
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        found = None
        for known, user in self._users:
            if hmac.compare_digest(known, digest):
                found = user
        if found is None and self._accounts is not None:
            return self._accounts.user(token)
        return found


def attributes(verb: str, target: Target, field_selector: str = "") -> Attributes:
    """Say what a request wants to do.

    Args:
        verb: the API verb, for example ``deletecollection``.
        target: what it is about.
        field_selector: of a list, a watch or a deletecollection; one name may be allowed where others are not.
    """
    kind, name, namespace = target.kind, target.name, target.namespace
    if not name and verb in {"list", "watch", "deletecollection"}:
        found = _ONE_NAME.search(field_selector)
        name = found[1] if found else ""
    if kind.kind == "Namespace" and not kind.group and target.name:
        namespace = target.name  # who may do something in a namespace may do it to the namespace
    return Attributes(verb, kind.group, kind.plural, target.subresource, namespace, name)


def check(authorizer: Authorizer, user: User, verb: str, target: Target, field_selector: str = "") -> None:
    """Refuse what a user may not do.

    Args:
        authorizer: knows the roles.
        user: who asks.
        verb: the API verb, for example ``deletecollection``.
        target: what it is about.
        field_selector: of the request.

    Raises:
        StatusError: 403.
    """
    if MASTERS in user.groups:
        return
    asked = attributes(verb, target, field_selector)
    may, why = authorizer.decide(user, asked)
    if not may:
        raise denial(target.kind, user, asked, why)


def check_path(authorizer: Authorizer, user: User, verb: str, path: str) -> None:
    """Refuse an address a user may not read.

    Args:
        authorizer: knows the roles.
        user: who asks.
        verb: the method in lower case.
        path: the path.

    Raises:
        StatusError: 403.
    """
    asked = Attributes(verb, path=path)
    may, why = authorizer.decide(user, asked)
    if not may:
        raise StatusError(403, "Forbidden", f"forbidden: {denial_text(user, asked)}" + (f": {why}" if why else ""), {})
