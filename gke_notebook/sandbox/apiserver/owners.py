"""Who owns which fields, and how `metadata.managedFields` says it.

Source of the rules: k8s.io/apimachinery v0.34 (`util/managedfields`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from . import fieldset, status
from .fieldset import FieldSet

APPLY, UPDATE = "Apply", "Update"
_MAX_UPDATERS = 10
_ANCIENT = "ancient-changes"


@dataclass(frozen=True)
class Manager:
    """Who owns fields, and in which way.

    Args:
        name: the field manager.
        operation: ``Apply`` or ``Update``.
        api_version: the version its fields are written in; an applier has one entry whatever its version.
        subresource: where it wrote.
    """

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        text = status.quote(self.name)
        if self.subresource:
            text += f" with subresource {status.quote(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True)
class Owned:
    """What one manager owns.

    Args:
        fields: the fields.
        time: when it last changed one, RFC 3339.
        api_version: the version the fields are written in.
    """

    fields: FieldSet
    time: str
    api_version: str


Owners = dict[Manager, Owned]


def read(entries_: Any, *, trusted: bool = True) -> Owners:
    """Read `metadata.managedFields`; what cannot be read is as if nobody owned anything.

    Args:
        entries_: the list.
        trusted: whether the server itself has written it.
    """
    found: Owners = {}
    for entry in entries_ or ():
        if not trusted and not (isinstance(entry, dict) and fieldset.valid(entry.get("fieldsV1", {}))):
            return {}
        operation, version = str(entry.get("operation", "")), str(entry.get("apiVersion", ""))
        if operation not in {APPLY, UPDATE}:
            return {}
        manager = Manager(
            str(entry.get("manager", "")),
            operation,
            version if operation == UPDATE else "",
            str(entry.get("subresource", "")),
        )
        found[manager] = Owned(entry.get("fieldsV1", {}), str(entry.get("time", "")), version)
    return found


def entries(owners: Owners) -> list[dict[str, Any]]:
    """Write `metadata.managedFields`.

    Args:
        owners: who owns what.
    """
    ordered = sorted(
        owners.items(),
        key=lambda pair: (pair[0].operation, pair[1].time, pair[0].name, pair[1].api_version, pair[0].subresource),
    )
    found = []
    for manager, owned in ordered:
        entry: dict[str, Any] = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": owned.api_version,
        }
        if owned.time:
            entry["time"] = owned.time
        entry.update(fieldsType="FieldsV1", fieldsV1=owned.fields)
        if manager.subresource:
            entry["subresource"] = manager.subresource
        found.append(entry)
    return found


def cap(owners: Owners) -> None:
    """Merge the oldest updaters, in place, once there are more than ten, as the server does to keep objects small.

    Args:
        owners: who owns what.
    """
    updaters = sorted(
        (manager for manager in owners if manager.operation == UPDATE),
        key=lambda manager: (owners[manager].time, manager.name, manager.subresource),
    )
    excess = len(updaters) - _MAX_UPDATERS
    if excess <= 0:
        return
    oldest = updaters[: excess + 1]
    merged: FieldSet = {}
    for manager in oldest:
        merged = fieldset.union(merged, owners[manager].fields)
    last = owners[oldest[-1]]
    for manager in oldest:
        del owners[manager]
    owners[Manager(_ANCIENT, UPDATE, last.api_version)] = replace(last, fields=merged)
