"""One scenario on two servers: the embedded one and the real control plane, whose answers must be the same."""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import NAMESPACES, SERVICE_ACCOUNTS, Resource
from gke_notebook.errors import ApiError
from tests.contract.normal import Normal, Rule, differences
from tests.support.kubectl import Kubectl

Object = dict[str, Any]
# Headers that are part of the answer; the others are the connection's.
_HEADERS = ("Content-Type", "Warning", "Retry-After", "Allow", "Location")
_OURS = "the sandbox's"  # what the embedded server says of itself, in warnings of its own


@dataclass
class Side:
    """One of the two servers, as a scenario sees it.

    Args:
        name: ``embedded`` or ``real``.
        client: a client with every right, whose namespace is the scenario's own.
        namespace: the same on both sides; nothing else is in it.
        kubectl: the real kubectl, pointed at this server.
    """

    name: str
    client: Client
    namespace: str
    kubectl: Kubectl
    transcript: list[Any] = field(default_factory=list)

    def path(self, resource: Resource, name: str | None = None, subresource: str | None = None) -> str:
        """Give the path of a collection, an object or a subresource in the scenario's namespace."""
        return resource.path(self.namespace if resource.namespaced else None, name, subresource)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        record: bool = True,
        anonymous: bool = False,
    ) -> Object:
        """Send one request as it is and write down the answer, whatever it is.

        Args:
            method: the HTTP method.
            path: the path below the server's URL.
            body: bytes go as they are, anything else as JSON; None sends no body.
            params: the query.
            content_type: of the body; empty sends none.
            headers: further headers.
            record: whether the answer becomes part of the transcript.
            anonymous: whether the token is left out.

        Returns:
            ``status``, ``headers`` and ``body``: JSON decoded, a list of lines for a stream of JSON, else the text.
        """
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        sent = {**({"Content-Type": content_type} if data is not None and content_type else {}), **(headers or {})}
        token = await self.client.connection.token(False)
        if token and "Authorization" not in sent and not anonymous:
            sent["Authorization"] = f"Bearer {token}"
        async with self.client._session().request(
            method,
            self.client.connection.server + path,
            params=params,
            data=None if data is None else io.BytesIO(data),  # as aiohttp wishes large bodies
            headers=sent,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
            timeout=aiohttp.ClientTimeout(total=60),
        ) as response:
            raw = await response.read()
            shown = {key: ", ".join(found) for key in _HEADERS if (found := _told(response, key))}
            answer = {"status": response.status, "headers": shown, "body": _decoded(raw)}
        if record:
            self.transcript.append({"asked": f"{method} {path}", **answer})
        return answer

    async def outcome(self, call: Awaitable[Any]) -> Any:
        """Await a verb of the client and write down what came of it: the object, or the refusal."""
        try:
            result: Any = await call
        except ApiError as error:
            result = {
                "status": error.status,
                "reason": error.reason,
                "message": error.message,
                "details": error.details,
            }
        self.transcript.append(result)
        return result

    async def run_kubectl(self, *arguments: str, stdin: str | None = None) -> Object:
        """Run kubectl and write down what it said and its exit code."""
        answer = await self.kubectl.run(*arguments, stdin=stdin)
        said = "".join(line for line in answer.err.splitlines(keepends=True) if _OURS not in line)
        result = {"kubectl": " ".join(arguments), "code": answer.code, "out": answer.out, "err": said}
        self.transcript.append(result)
        return result


def _told(response: aiohttp.ClientResponse, key: str) -> list[str]:
    return [value for value in response.headers.getall(key, []) if _OURS not in value]


Scenario = Callable[[Side], Awaitable[Any]]


@dataclass
class Both:
    """The two servers of one test.

    Args:
        embedded: the embedded server.
        real: the real control plane, None where there is none.
        home: a directory for kubeconfigs.
        record: is told the outcome of each comparison.
        unavailable: called when there is no real control plane and the embedded half has run; it skips or fails.
        real_access: the certificate authority, in PEM, and the token of the real one.
    """

    embedded: Connection
    real: Connection | None
    home: Path
    record: Callable[[Object], None]
    unavailable: Callable[[], None]
    real_access: tuple[str, str] = ("", "")

    async def compare(
        self, scenario: Scenario, *, kind: str, feature: str, rules: Sequence[Rule] = (), namespace: str = ""
    ) -> None:
        """Run a scenario on both servers and compare what it gives, or else what it wrote down.

        Args:
            scenario: what to do, told of one side.
            kind: the Kubernetes kind it is about, for the table in the documentation; ``*`` for all.
            feature: what it is about, in a few words, for the same table.
            rules: what of the answers is the environment's and not the server's.
            namespace: the namespace, when the scenario needs one of a certain name; it must be new on both.

        Raises:
            AssertionError: the answers differ; the text says where.
        """
        namespace = namespace or f"t-{secrets.token_hex(4)}"
        outcome = {"kind": kind, "feature": feature, "embedded": "failed", "real": "not run"}
        try:
            ours = await self._run(scenario, "embedded", namespace, rules)
            outcome["embedded"] = "answered"
            if self.real is not None:
                outcome["real"] = "failed"
                theirs = await self._run(scenario, "real", namespace, rules)
                outcome["real"] = "answered"
                found = differences(ours, theirs)
                outcome["embedded"] = "differs" if found else "same"
                assert not found, f"{len(found)} differences:\n" + "\n".join(found[:60])
        finally:
            self.record(outcome)
        if self.real is None:
            self.unavailable()

    async def only_real(self, scenario: Scenario, refused: Scenario, *, kind: str, feature: str) -> None:
        """Check what only the real control plane does, and that the embedded server says so and does not pretend.

        Args:
            scenario: what works on the real one; it asserts.
            refused: what asserts that the embedded server refuses, or warns.
            kind: the Kubernetes kind it is about.
            feature: what it is about.
        """
        namespace = f"t-{secrets.token_hex(4)}"
        outcome = {"kind": kind, "feature": feature, "embedded": "failed", "real": "not run"}
        try:
            await self._run(refused, "embedded", namespace, ())
            outcome["embedded"] = "refused"
            if self.real is not None:
                outcome["real"] = "failed"
                await self._run(scenario, "real", namespace, ())
                outcome["real"] = "answered"
        finally:
            self.record(outcome)
        if self.real is None:
            self.unavailable()

    async def _run(self, scenario: Scenario, name: str, namespace: str, rules: Sequence[Rule]) -> Any:
        async with self.side(name, namespace) as side:
            given = await scenario(side)
            return Normal(rules)(side.transcript if given is None else given)

    @contextlib.asynccontextmanager
    async def side(self, name: str, namespace: str) -> AsyncIterator[Side]:
        """Give one side with a new namespace, which is deleted afterwards."""
        connection = self.embedded if name == "embedded" else self.real
        assert connection is not None
        own = Connection(
            connection.server, namespace, context=name, tls=connection.tls, token=connection.token,
            server_name=connection.server_name,
        )  # fmt: skip
        home = self.home / f"{name}-{namespace}"
        home.mkdir()
        kubectl = Kubectl(home, own)
        if name == "real":
            kubectl.use(*self.real_access)
        async with Client(own) as client:
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            try:
                await _service_account(client, namespace)
                yield Side(name, client, namespace, kubectl)
            finally:
                with contextlib.suppress(ApiError):  # the scenario may have deleted it
                    await client.delete(NAMESPACES, namespace)


async def _service_account(client: Client, namespace: str) -> None:
    """Wait for the controllers' first objects: until then a real server refuses pods."""
    for _ in range(600):
        with contextlib.suppress(ApiError):
            await client.get(SERVICE_ACCOUNTS, "default", namespace)
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"no service account came to be in the namespace {namespace}")


def _decoded(raw: bytes) -> Any:
    if not raw:
        return ""
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(raw)
    with contextlib.suppress(msgspec.DecodeError):
        return [msgspec.json.decode(line) for line in raw.splitlines()]
    return raw.decode(errors="replace")
