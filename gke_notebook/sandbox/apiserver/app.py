"""The API server as an aiohttp application: who asks, what for, and the answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from . import bootstrap, respond, status, strategy
from .auth import Authenticator, User, check
from .authorization.impersonation import acting_user
from .authorization.requests import wanted
from .authorization.resolver import Authorizer
from .authorization.tokens import Tokens
from .authorization.users import MASTERS
from .crd.definitions import Definitions
from .documents import Documents
from .kinds import find
from .logs import LogProxy
from .resources import Resources
from .status import StatusError
from .store import Store

__all__ = ["ServerConfig", "User", "create_app"]

_log = logging.getLogger(__name__)
MAX_BODY = 3 * 2**20
# As long as a real server lets a request take (kube-apiserver v1.34, --request-timeout).
BODY_SECONDS = 60.0
VERSION = "v1.34.4"
_EXPIRY_SECONDS = 60.0
_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class ServerConfig:
    """How the API server is run.

    Args:
        tokens: who each bearer token belongs to.
        kubelet_token: the token that the server shows to kubelets.
        port: the port clients name in their `Host` header; 0 accepts any.
        version: the Kubernetes version it says it is.
        signing_key: the secret that tokens of service accounts are signed with; they are good as long as it stays.
        controllers: whether controllers run, so that every namespace comes to have its service account.
    """

    tokens: Mapping[str, User] = field(repr=False)
    kubelet_token: str = field(default="", repr=False)
    port: int = 0
    version: str = VERSION
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    controllers: bool = True


def create_app(store: Store, config: ServerConfig) -> web.Application:
    """Make the server; the objects every cluster has are created where they are missing.

    Args:
        store: the state; the caller closes it.
        config: how it is run.
    """
    bootstrap.ensure(store)
    server = _Server(store, config)
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{path:.*}", server.handle)
    app.cleanup_ctx.append(server.lifetime)
    app.on_shutdown.append(server.stop)
    return app


class _Server:
    def __init__(self, store: Store, config: ServerConfig) -> None:
        self._store = store
        self._authorizer = Authorizer(store)
        tokens = Tokens(store, config.signing_key)
        self._authenticator = Authenticator(config.tokens, tokens)
        self._logs = LogProxy(config.kubelet_token)
        self._stopping = asyncio.Event()
        self._hosts = frozenset(f"{host}:{config.port}" for host in _HOSTS) if config.port else None
        definitions = Definitions(store)
        self._documents = Documents(_version(config.version), definitions)
        self._resources = Resources(
            store,
            self._logs,
            self._stopping,
            definitions,
            authorizer=self._authorizer,
            tokens=tokens,
            controllers=config.controllers,
        )

    async def lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        expiry = asyncio.create_task(self._expire())
        yield
        expiry.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await expiry
        await self._logs.close()

    async def stop(self, _app: web.Application) -> None:
        """End every watch and log stream, so that the server need not wait for them."""
        self._stopping.set()
        self._store.wake_all()
        await self._logs.close()

    async def _expire(self) -> None:
        events = find("", "v1", "events")
        assert events is not None
        while True:
            expire_events(self._store, time.time())
            await asyncio.sleep(_EXPIRY_SECONDS)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._handle(request)
        except StatusError as error:
            return respond.failure(error, request.headers.get("Accept", ""))
        except web.HTTPRequestEntityTooLarge:
            return respond.failure(status.too_large())
        except web.RequestPayloadError as error:
            return respond.failure(status.bad_request(str(error)))
        except (ConnectionResetError, web.HTTPException):
            raise
        except Exception:
            # The last line of defence: a bug answers as a real server's would, and is written down.
            _log.exception("%s %s failed", request.method, request.path)
            return respond.failure(status.internal("the request could not be served; the sandbox's log says why"))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._hosts is not None:
            self._check_origin(request)
        path = request.rel_url.raw_path
        user, warnings = self._authenticator.user(request.headers.get("Authorization", ""))
        if user is None:
            raise status.unauthorized()
        try:
            response = await self._serve(request, path, acting_user(request, user, self._authorizer))
        except StatusError as error:
            error.warnings[:0] = warnings
            raise
        if warnings and not response.prepared:
            respond.warn(response, warnings)
        return response

    async def _serve(self, request: web.Request, path: str, user: User) -> web.StreamResponse:
        if MASTERS not in user.groups:
            check(self._authorizer, user, wanted(request.method, path, request.query))
        if request.can_read_body and not request.content.is_eof():
            await _body(request)
        if path.startswith(("/api/", "/apis/")):
            found = await self._resources.answer(request, path, user)
            if found is not None:
                return found
        return self._documents.answer(request, path)

    def _check_origin(self, request: web.Request) -> None:
        """Refuse what a web page could send: by DNS rebinding (a foreign Host) or across origins (a foreign Origin)."""
        assert self._hosts is not None
        if request.headers.get("Host", "").lower() not in self._hosts:
            raise StatusError(403, "Forbidden", "forbidden: this Host is not served here", {})
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower().partition("://")[2] not in self._hosts:
            raise StatusError(403, "Forbidden", "forbidden: requests from this Origin are not served", {})


async def _body(request: web.Request) -> None:
    """Wait for the body, so that whoever sends one drop by drop does not hold the request for ever."""
    try:
        await asyncio.wait_for(request.read(), BODY_SECONDS)
    except asyncio.TimeoutError as error:
        raise StatusError(408, "Timeout", "the body of the request did not come in time") from error


def expire_events(store: Store, now: float) -> None:
    """Delete the events that were last written an hour ago or more, as the server's storage does.

    Args:
        store: the state.
        now: seconds since the epoch.
    """
    events = find("", "v1", "events")
    assert events is not None
    for entry in store.of(events).all():
        if now - entry.written >= strategy.EVENT_SECONDS:
            store.delete(events, entry)


def _version(text: str) -> dict[str, Any]:
    major, minor, *_ = text.lstrip("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": text,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
