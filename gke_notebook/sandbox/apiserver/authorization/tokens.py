"""Tokens of service accounts: made by the subresource `token`, and known again when they come back.

They are JSON Web Tokens with the claims of a real cluster's, signed with a key that only the server has; what a token
is bound to (the account, a pod, a secret, a node) must still be there when it is used.

Source: kubernetes v1.34, pkg/registry/core/serviceaccount/storage/token.go and pkg/serviceaccount/claims.go.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid
from typing import Any

import msgspec

from gke_notebook.sandbox.apiserver import metadata, status
from gke_notebook.sandbox.apiserver.kinds import TOKEN_REQUEST, Kind, find
from gke_notebook.sandbox.apiserver.paths import Target
from gke_notebook.sandbox.apiserver.status import FieldError, StatusError, invalid_value
from gke_notebook.sandbox.apiserver.store import Store

from .users import AUTHENTICATED, User, account_groups, account_name

Object = dict[str, Any]
ISSUER = "https://kubernetes.default.svc.cluster.local"
_SECONDS, _LEAST, _MOST = 3600, 600, 2**32
_MOUNTED, _EXTENDED = 3607, 365 * 24 * 3600
_MANY = 10_000
_HEADER = {"alg": "HS256", "kid": "sandbox"}
_EXTRA = "authentication.kubernetes.io/"


def _kind(plural: str) -> Kind:
    found = find("", "v1", plural)
    assert found is not None
    return found


_ACCOUNTS = _kind("serviceaccounts")
_BOUND = {"Pod": _kind("pods"), "Secret": _kind("secrets"), "Node": _kind("nodes")}


class Tokens:
    """Makes and knows tokens.

    Args:
        store: the state.
        key: the secret they are signed with.
    """

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._key = key

    def create(self, target: Target, request: Object, *, dry_run: bool) -> Object:
        """Answer a TokenRequest.

        Args:
            target: the service account.
            request: the decoded body.
            dry_run: whether only to check; the answer then carries a token that nobody can use.

        Raises:
            StatusError: as the server says it.
        """
        meta = request.setdefault("metadata", {})
        for field, wanted in (("name", target.name), ("namespace", target.namespace)):
            if meta.get(field) and meta[field] != wanted:
                text = f"must match the service account {field} if specified"
                raise status.invalid(
                    TOKEN_REQUEST, target.name, [invalid_value(f"metadata.{field}", meta[field], text)]
                )
        entry = self._store.get(_ACCOUNTS, target.namespace, target.name)
        if entry is None:
            raise status.not_found(_ACCOUNTS, target.name)
        uid = entry.object()["metadata"]["uid"]
        if meta.get("uid") and meta["uid"] != uid:
            text = f"the UID in the token request ({meta['uid']}) does not match the UID of the service account ({uid})"
            details = {"name": target.name, "group": TOKEN_REQUEST.group, "kind": "TokenRequest"}
            said = f'Operation cannot be fulfilled on TokenRequest.{TOKEN_REQUEST.group} "{target.name}": {text}'
            raise StatusError(409, "Conflict", said, details)
        spec = request.setdefault("spec", {})
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        seconds = spec.setdefault("expirationSeconds", _SECONDS)
        errors = _wrong(seconds)
        if errors:
            raise status.invalid(TOKEN_REQUEST, "", errors)
        bound = self._bound(target, spec.get("boundObjectRef"))
        now = int(time.time())
        lasting = seconds
        if seconds == _MOUNTED and "pod" in bound and spec["audiences"] == [ISSUER]:
            # Those that are mounted are good for longer than they say: clients that read them once go on for a while.
            lasting = _EXTENDED
            bound["warnafter"] = now + seconds
        claims = {
            "aud": spec["audiences"], "exp": now + lasting, "iat": now, "iss": ISSUER, "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": target.namespace, "serviceaccount": {"name": target.name, "uid": uid}, **bound,
            },
            "nbf": now, "sub": account_name(target.namespace, target.name),
        }  # fmt: skip
        meta.update({"name": target.name, "namespace": target.namespace, "uid": uid})
        meta["creationTimestamp"] = metadata.timestamp(now)
        token = self._sign(claims) if not dry_run else self._sign({**claims, "exp": now})
        request["status"] = {"token": token, "expirationTimestamp": metadata.timestamp(now + seconds)}
        return {"kind": "TokenRequest", "apiVersion": TOKEN_REQUEST.api_version, **request}

    def user(self, token: str) -> User | None:
        """Give the service account that a token belongs to, None when it is none of ours, or no longer good.

        Args:
            token: the bearer token.
        """
        claims = self._verified(token)
        if claims is None:
            return None
        now = time.time()
        if not claims["nbf"] <= now + 60 or now >= claims["exp"] or ISSUER not in claims["aud"]:
            return None
        about = claims["kubernetes.io"]
        namespace, account = about["namespace"], about["serviceaccount"]
        if not self._still_there(_ACCOUNTS, namespace, account):
            return None
        for word, kind in _BOUND.items():
            reference = about.get(word.lower())
            # A pod's token names its node too, and outlives it.
            if reference and not (word == "Node" and about.get("pod")):
                where = namespace if kind.namespaced else ""
                if not self._still_there(kind, where, reference):
                    return None
        extra = {f"{_EXTRA}credential-id": (f"JTI={claims['jti']}",)}
        for word in ("node", "pod"):
            for part in ("name", "uid") if about.get(word) else ():
                extra[f"{_EXTRA}{word}-{part}"] = (about[word].get(part, ""),)
        groups = (*account_groups(namespace), AUTHENTICATED)
        return User(account_name(namespace, account["name"]), groups, account["uid"], extra)

    def _still_there(self, kind: Kind, namespace: str, reference: Object) -> bool:
        entry = self._store.get(kind, namespace, reference["name"])
        return entry is not None and entry.object()["metadata"]["uid"] == reference["uid"]

    def _bound(self, target: Target, reference: Object | None) -> Object:
        if reference is None:
            return {}
        word, name = str(reference.get("kind", "")), str(reference.get("name", ""))
        kind = _BOUND.get(word) if reference.get("apiVersion") == "v1" else None
        if kind is None:
            version = str(reference.get("apiVersion") or "")
            group = version if "/" in version else f"/{version}"
            raise status.bad_request(f"cannot bind token to object of type {group}, Kind={word}")
        entry = self._store.get(kind, target.namespace if kind.namespaced else "", name)
        if entry is None:
            raise status.not_found(kind, name)
        obj = entry.object()
        uid, spec = obj["metadata"]["uid"], obj.get("spec") or {}
        if word == "Pod" and spec.get("serviceAccountName") != target.name:
            raise status.bad_request(
                f"cannot bind token for serviceaccount {status.quote(target.name)} "
                "to pod running with different serviceaccount name."
            )
        if reference.get("uid") and reference["uid"] != uid:
            why = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            said = f"Operation cannot be fulfilled on {word} {status.quote(name)}: {why}"
            raise StatusError(409, "Conflict", said, {"name": name, "kind": word})
        found: Object = {word.lower(): {"name": name, "uid": uid}}
        if word == "Pod" and spec.get("nodeName"):
            node = self._store.get(_BOUND["Node"], "", spec["nodeName"])
            found["node"] = {"name": spec["nodeName"]}
            if node is not None:
                found["node"]["uid"] = node.object()["metadata"]["uid"]
        return found

    def _sign(self, claims: Object) -> str:
        text = f"{_encoded(msgspec.json.encode(_HEADER))}.{_encoded(msgspec.json.encode(claims))}"
        return f"{text}.{_encoded(self._digest(text))}"

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()

    def _verified(self, token: str) -> Object | None:
        text, dot, signature = token.rpartition(".")
        if not dot or len(token) > _MANY or not token.isascii():
            return None
        if not hmac.compare_digest(_encoded(self._digest(text)), signature):
            return None
        body = text.partition(".")[2]
        claims: Object = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _wrong(seconds: int) -> list[FieldError]:
    field = "spec.expirationSeconds"
    if seconds < _LEAST:
        return [invalid_value(field, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > _MOST:
        return [invalid_value(field, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
