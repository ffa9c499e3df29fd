"""Asks the sandbox's GKE which machines there are, and tells it which have shut down."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import msgspec

from gke_notebook.sandbox.instances import Notice

_log = logging.getLogger(__name__)
_POLL_SECONDS = 30


class FleetClient:
    """A client of ``/sandbox/v1`` of the sandbox's GKE; an asynchronous context manager.

    Args:
        url: its address.
        token: the bearer token.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/sandbox/v1"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> FleetClient:
        """Open the connection."""
        self._http = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=_POLL_SECONDS + 30)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        if self._http is not None:
            await self._http.close()

    async def notice(self, since: int = 0) -> Notice:
        """Give the machines, as soon as they are not those of a revision; it is asked until it answers.

        Args:
            since: the revision that is known, 0 for none.
        """
        delay = 0.05
        while True:
            try:
                return await self._ask(since)
            except (aiohttp.ClientError, asyncio.TimeoutError, msgspec.MsgspecError) as error:
                _log.warning("the sandbox's GKE does not answer: %s", error)
                await asyncio.sleep(delay)
                delay = min(5.0, delay * 2)

    async def _ask(self, since: int) -> Notice:
        assert self._http is not None
        query = f"since={since}&timeout={_POLL_SECONDS}" if since else ""
        async with self._http.get(f"{self._url}/instances?{query}", raise_for_status=True) as response:
            return msgspec.json.decode(await response.read(), type=Notice)

    async def stopped(self, name: str) -> None:
        """Say that the shutdown of a machine is done; when it cannot be said, the machine goes at its time anyway.

        Args:
            name: the machine.
        """
        assert self._http is not None
        try:
            async with self._http.post(f"{self._url}/instances/{name}:stopped") as response:
                await response.read()
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            _log.warning("the sandbox's GKE does not answer: %s", error)
