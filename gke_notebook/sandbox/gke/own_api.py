"""What only the sandbox has: its machines by long poll, faults, the clock; the package's docstring is the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from gke_notebook.sandbox.gke.clock import timestamp
from gke_notebook.sandbox.gke.failures import ApiFailure, invalid
from gke_notebook.sandbox.gke.faults import Fault
from gke_notebook.sandbox.gke.fleet import Fleet
from gke_notebook.sandbox.gke.keeper import Keeper

Object = dict[str, Any]
Value = TypeVar("Value")

PREFIX = "/sandbox/v1/"
_INSTANCE = re.compile(r"instances/(?P<name>[^/:]+)(?::(?P<verb>preempt|stopped))?")


class _ClockSetting(msgspec.Struct, forbid_unknown_fields=True):
    factor: float


async def answer(keeper: Keeper, method: str, path: str, query: Mapping[str, str], raw: bytes = b"") -> Any:
    """Answer one request that has been authenticated.

    Args:
        keeper: of the fleet.
        method: the HTTP method.
        path: the path, decoded; begins with `PREFIX`.
        query: the query's parameters.
        raw: the body.

    Returns:
        The body of the answer, as msgspec encodes it.

    Raises:
        ApiFailure: the error to answer.
    """
    rest = path.removeprefix(PREFIX)
    if rest == "instances" and method == "GET":
        since = _number(query, "since", -1)
        return await keeper.notice(int(since), _number(query, "timeout", 0))
    if rest == "revision" and method == "GET":
        await keeper.notice(int(_number(query, "since", -1)), _number(query, "timeout", 0))
        clock = keeper.fleet.clock
        return {"revision": keeper.fleet.state.revision, "factor": clock.factor, "now": clock.now()}
    fleet = keeper.fleet
    fleet.advance()
    found = _INSTANCE.fullmatch(rest)
    if found and found["verb"] is None and method == "GET":
        return fleet.instance(found["name"])
    if found and found["verb"] is not None and method == "POST":
        if found["verb"] == "preempt":
            fleet.preempt(found["name"])
        else:
            fleet.stopped(found["name"])
        return {}
    if rest == "clock":
        if method == "PUT":
            fleet.set_factor(_decode(raw, _ClockSetting).factor)
        elif method != "GET":
            raise _not_served(method, path)
        return {"factor": fleet.clock.factor, "now": fleet.clock.wall(), "time": timestamp(fleet.clock.wall())}
    if rest == "faults" or rest.startswith("faults/"):
        return _faults(fleet, method, rest.removeprefix("faults").removeprefix("/"), raw, path)
    raise _not_served(method, path)


def _not_served(method: str, path: str) -> ApiFailure:
    return ApiFailure(404, f"The sandbox does not serve {method} {path[:200]}.")


def _faults(fleet: Fleet, method: str, name: str, raw: bytes, path: str) -> Any:
    if method == "GET" and not name:
        return {"faults": list(fleet.state.faults.values())}
    if method == "POST" and not name:
        return fleet.add_fault(_decode(raw, Fault))
    if method == "DELETE":
        fleet.remove_fault(name)
        return {}
    raise _not_served(method, path)


def _decode(raw: bytes, kind: type[Value]) -> Value:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None


def _number(query: Mapping[str, str], name: str, default: float) -> float:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,15}(\.\d{1,6})?", text, re.ASCII):
        raise invalid(f"{name} must be a number of at least 0, not {text[:40]!r}")
    return float(text)
