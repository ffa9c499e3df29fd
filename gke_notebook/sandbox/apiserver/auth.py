"""Who a request comes from, and whether it may pass."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from .authorization.resolver import Authorizer, denial, denial_text
from .authorization.rules import Attributes
from .authorization.tokens import Tokens
from .authorization.users import ANONYMOUS, AUTHENTICATED, MASTERS, UNAUTHENTICATED, User
from .kinds import Kind
from .status import StatusError

__all__ = ["AUTHENTICATED", "MASTERS", "Authenticator", "User", "check"]

_NOBODY = User(ANONYMOUS, (UNAUTHENTICATED,), exact=True)
_EXTRA_SPACE = "the provided Authorization header contains extra space before the bearer token, and is ignored"


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

    def user(self, authorization: str) -> tuple[User | None, list[str]]:
        """Find the user of an `Authorization` header, in a time that does not depend on the token.

        Args:
            authorization: the header, empty without one.

        Returns:
            The user, nobody in particular when the header holds no bearer token, None when it holds a wrong one; and
            warnings.
        """
        scheme, *words = authorization.strip().split(" ")
        if scheme.lower() != "bearer" or not words:
            return _NOBODY, []
        token = words[0]
        if not token:
            return _NOBODY, [_EXTRA_SPACE]
        return self._known(token), []

    def _known(self, token: str) -> User | None:
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        found = None
        for known, user in self._users:
            if hmac.compare_digest(known, digest):
                found = user
        if found is None and self._accounts is not None:
            return self._accounts.user(token)
        return found


def check(authorizer: Authorizer, user: User, asked: Attributes) -> None:
    """Refuse what a user may not do.

    Args:
        authorizer: knows the roles.
        user: who asks.
        asked: what for.

    Raises:
        StatusError: 403.
    """
    if MASTERS in user.groups:
        return
    may, why = authorizer.decide(user, asked)
    if may:
        return
    if asked.path:
        raise StatusError(403, "Forbidden", f"forbidden: {denial_text(user, asked)}" + (f": {why}" if why else ""), {})
    # Whether there is such a resource is not looked at: who may do nothing learns nothing.
    raise denial(Kind(asked.group, "v1", asked.resource, asked.resource, asked.resource), user, asked, why)
