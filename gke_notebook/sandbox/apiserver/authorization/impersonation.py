"""Acting as somebody else: the headers that kubectl's `--as`, `--as-group` and `--as-uid` send.

Source: apiserver v0.34, pkg/endpoints/filters/impersonation.go.
"""

from __future__ import annotations

from urllib.parse import unquote

from aiohttp import web

from gke_notebook.sandbox.apiserver import status
from gke_notebook.sandbox.apiserver.kinds import Kind

from .resolver import Authorizer, denial
from .rules import Attributes
from .users import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    account_groups,
    split_account,
)

_PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"


def acting_user(request: web.Request, user: User, authorizer: Authorizer) -> User:
    """Give the user that a request is made as.

    Args:
        request: the request, with its headers.
        user: who the token belongs to.
        authorizer: decides whether they may.

    Raises:
        StatusError: 403, or 400 when no user is named but groups are, or a name is not UTF-8.
    """
    headers = request.headers
    if not any(name.lower().startswith(_PREFIX) for name in headers):
        return user
    for key, value in headers.items():
        # Bytes that are no text reach us as surrogates, which cannot be written into an answer.
        if key.lower().startswith(_PREFIX) and any("\ud800" <= each <= "\udfff" for each in value):
            raise status.bad_request(f"the header {key} is not UTF-8")
    name, groups = headers.get("Impersonate-User", ""), headers.getall("Impersonate-Group", [])
    uid = headers.get("Impersonate-Uid", "")
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in headers.items():
        if key.lower().startswith(_EXTRA):
            word = unquote(key[len(_EXTRA) :].lower())
            extra[word] = (*extra.get(word, ()), value)
    if not name:
        if not groups and not uid and not extra:
            return user
        # A real server answers 500 here; it is the client's mistake.
        raise status.bad_request("groups, a uid or extra values are impersonated without impersonating a user")
    account = split_account(name)
    asked = [Attributes("impersonate", "", "serviceaccounts", "", *account)] if account else []
    if not account:
        asked.append(Attributes("impersonate", "", "users", name=name))
    asked += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    for word, values in extra.items():
        asked += [Attributes("impersonate", _AUTHENTICATION, "userextras", word, name=value) for value in values]
    if uid:
        asked.append(Attributes("impersonate", _AUTHENTICATION, "uids", name=uid))
    for each in asked:
        may, why = authorizer.decide(user, each)
        if not may:
            raise denial(Kind(each.group, "v1", each.resource, each.resource, each.resource), user, each, why)
    if account and not groups:
        groups = list(account_groups(account[0]))
    if name == ANONYMOUS:
        if UNAUTHENTICATED not in groups:
            groups = [*groups, UNAUTHENTICATED]
    elif not {AUTHENTICATED, UNAUTHENTICATED} & set(groups):
        groups = [*groups, AUTHENTICATED]
    return User(name, tuple(groups), uid, extra, exact=True)
