"""The autoscaler's client of the sandbox's Google Cloud: node pools, managed instance groups, its log, its clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

Object = dict[str, Any]
_log = logging.getLogger(__name__)
_POLL_SECONDS = 30
_TRANSIENT = (429, 500, 502, 503, 504)
_RETRIES = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds
_POOLS = f"/v1/projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}/nodePools"


class CloudError(Exception):
    """Google Cloud has refused, or did not answer.

    Args:
        status: the HTTP status, 0 without an answer.
        message: its words.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Bell(msgspec.Struct, frozen=True):
    """How far the fleet is: the answer of ``/sandbox/v1/revision``.

    Args:
        revision: counts the fleet's changes.
        factor: how much faster than the wall its clock goes.
        now: its clock.
    """

    revision: int
    factor: float
    now: float


class Cloud:
    """A client; an asynchronous context manager.

    Args:
        url: the address of the sandbox's GKE.
        token: its bearer token.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Cloud:
        """Open the connection."""
        timeout = aiohttp.ClientTimeout(total=_POLL_SECONDS + 30)
        self._http = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        if self._http is not None:
            await self._http.close()

    async def _ask(self, method: str, path: str, body: Object | None = None) -> Any:
        """Send a request, and again while it fails for a moment: every one may come twice."""
        for delay in _RETRIES:
            try:
                return await self._send(method, path, body)
            except CloudError as error:
                if error.status and error.status not in _TRANSIENT:
                    raise
            await asyncio.sleep(delay)
        return await self._send(method, path, body)

    async def _send(self, method: str, path: str, body: Object | None = None) -> Any:
        assert self._http is not None
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._http.request(method, self._url + path, data=data) as response:
                raw = await response.read()
                answer = msgspec.json.decode(raw) if raw else {}
        except (aiohttp.ClientError, asyncio.TimeoutError, msgspec.DecodeError) as error:
            raise CloudError(0, str(error) or type(error).__name__) from error
        if response.status >= 400:
            told = answer.get("error") if isinstance(answer, dict) else None
            text = told.get("message") if isinstance(told, dict) else None
            raise CloudError(response.status, str(text or f"HTTP status {response.status}"))
        return answer

    async def bell(self, since: int = 0) -> Bell:
        """Give the fleet's revision, as soon as it is not the one that is known; asked until it answers.

        Args:
            since: the revision that is known, 0 for none.
        """
        delay = 0.05
        while True:
            try:
                query = f"?since={since}&timeout={_POLL_SECONDS}" if since else ""
                return msgspec.convert(await self._ask("GET", f"/sandbox/v1/revision{query}"), Bell)
            except CloudError as error:
                _log.warning("the sandbox's GKE does not answer: %s", error)
                await asyncio.sleep(delay)
                delay = min(5.0, delay * 2)

    async def pools(self) -> list[Object]:
        """Give the node pools.

        Raises:
            CloudError: refused, or no answer.
        """
        return list((await self._ask("GET", _POOLS)).get("nodePools") or ())

    async def groups(self, zone: str) -> dict[str, Object]:
        """Give the managed instance groups of a zone by their names.

        Args:
            zone: the zone.

        Raises:
            CloudError: refused, or no answer.
        """
        found = await self._ask("GET", f"{_managers(zone)}")
        return {one["name"]: one for one in found.get("items") or ()}

    async def machines(self, zone: str, group: str) -> list[Object]:
        """Give the managed instances of a group.

        Args:
            zone: its zone.
            group: its name.

        Raises:
            CloudError: refused, or no answer.
        """
        found = await self._ask("POST", f"{_managers(zone)}/{group}/listManagedInstances")
        return list(found.get("managedInstances") or ())

    async def resize(self, zone: str, group: str, size: int) -> None:
        """Set the size of a group.

        Args:
            zone: its zone.
            group: its name.
            size: how many machines it should have.

        Raises:
            CloudError: refused, or no answer.
        """
        await self._ask("POST", f"{_managers(zone)}/{group}/resize?size={size}")

    async def delete(self, zone: str, group: str, machines: Sequence[str]) -> None:
        """Take machines out of a group, which gets smaller by them.

        Args:
            zone: its zone.
            group: its name.
            machines: their names; those that are gone already are passed over.

        Raises:
            CloudError: refused, or no answer.
        """
        prefix = f"projects/{PROJECT}/zones/{zone}/instances/"
        body: Object = {
            "instances": [prefix + name for name in machines], "skipInstancesOnValidationError": True,
        }  # fmt: skip
        await self._ask("POST", f"{_managers(zone)}/{group}/deleteInstances", body)

    async def create_pool(self, spec: Object) -> None:
        """Create a node pool.

        Args:
            spec: the ``NodePool``.

        Raises:
            CloudError: refused, or no answer.
        """
        try:
            await self._ask("POST", _POOLS, {"nodePool": spec})
        except CloudError as error:
            if error.status != 409:  # it is there: an answer was lost
                raise

    async def write_log(self, entries: Sequence[Object]) -> None:
        """Write to Cloud Logging; a log that cannot be written is no reason to stop.

        Args:
            entries: the entries.
        """
        try:
            await self._ask("POST", "/v2/entries:write", {"entries": list(entries)})
        except CloudError as error:
            _log.info("log: %s", error)


def _managers(zone: str) -> str:
    return f"/compute/v1/projects/{PROJECT}/zones/{zone}/instanceGroupManagers"


class Time:
    """The fleet's clock as it was last heard of."""

    def __init__(self) -> None:
        self._heard = time.monotonic()
        self._now = 0.0
        self.factor = 1.0

    def hear(self, bell: Bell) -> None:
        """Set the clock.

        Args:
            bell: what the fleet said.
        """
        self._heard, self._now, self.factor = time.monotonic(), bell.now, bell.factor

    def now(self) -> float:
        """Give the fleet's time in seconds."""
        return self._now + (time.monotonic() - self._heard) * self.factor

    def real(self, seconds: float) -> float:
        """Say how long something takes on the wall.

        Args:
            seconds: on the fleet's clock.
        """
        return seconds / self.factor
