"""The two servers of the contract tests, and the record of what came of them: `build/contract.json`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gke_notebook.cluster.connection import Connection, static_token, tls_context
from gke_notebook.sandbox import controllers
from gke_notebook.sandbox.agents import define_kinds
from tests.contract import plane
from tests.contract.both import Both
from tests.support.apiserver import running_server

_RECORDS: list[dict[str, Any]] = []


@pytest.fixture(scope="session")
def real_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[plane.Plane | None]:
    """The real control plane, None where there is none."""
    with plane.running_plane(tmp_path_factory.mktemp("control-plane")) as found:
        yield found


@pytest.fixture(scope="session")
def queues_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[plane.Plane | None]:
    """The real control plane with JobSet and Kueue, None where there is none."""
    with plane.running_plane(tmp_path_factory.mktemp("queues-plane"), queues=True) as found:
        yield found


@pytest.fixture
async def both(real_plane: plane.Plane | None, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    """The embedded server with its controllers, and the real control plane."""
    async with _servers(real_plane, tmp_path, request) as found:
        yield found


@pytest.fixture
async def both_queues(
    queues_plane: plane.Plane | None, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Both]:
    """The embedded server with what the sandbox defines, and the real control plane with JobSet and Kueue."""
    async with _servers(queues_plane, tmp_path, request, defined=True) as found:
        yield found


@contextlib.asynccontextmanager
async def _servers(
    real_plane: plane.Plane | None, home: Path, request: pytest.FixtureRequest, *, defined: bool = False
) -> AsyncIterator[Both]:
    real, access = _connection(real_plane), ("", "")
    if real_plane is not None:
        access = (real_plane.authority, real_plane.token)

    def record(outcome: dict[str, Any]) -> None:
        _RECORDS.append({"test": request.node.nodeid, **outcome})

    async with running_server(tls=True, controllers=True) as connection:
        if defined:
            await define_kinds(connection)
        running = asyncio.create_task(controllers.run(connection))
        try:
            yield Both(connection, real, home, record, _unavailable, access)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.fixture(scope="session")
def real_connection(real_plane: plane.Plane | None) -> Connection | None:
    """How to reach the real control plane, None where there is none."""
    return _connection(real_plane)


def _connection(found: plane.Plane | None) -> Connection | None:
    if found is None:
        return None
    return Connection(found.server, tls=tls_context(ca_data=found.authority), token=static_token(found.token))


@pytest.fixture
def note(real_connection: Connection | None, request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Write down that a feature of a kind was compared, or else that the real half is missing."""

    def write(kind: str, feature: str) -> None:
        outcome = ("answered", "not run") if real_connection is None else ("same", "answered")
        told = {"kind": kind, "feature": feature, "embedded": outcome[0], "real": outcome[1]}
        _RECORDS.append({"test": request.node.nodeid, **told})
        if real_connection is None:
            _unavailable()

    return write


def _unavailable() -> None:
    if os.environ.get("CI"):
        pytest.fail(plane.MISSING)  # what is promised of both servers is checked on both before it is merged
    pytest.skip(plane.MISSING)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Add what this process compared to the file; several processes may do so at once."""
    if not _RECORDS:
        return
    file = session.config.rootpath / "build" / "contract.json"
    file.parent.mkdir(exist_ok=True)
    with (file.parent / "contract.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = json.loads(file.read_text()) if file.exists() else []
        new = {(each["test"], each["kind"], each["feature"]): each for each in [*kept, *_RECORDS]}
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(list(new.values()), indent=1))
        partial.replace(file)
