"""What a definition says about the objects of its kind: the part of the server that each custom kind brings along.

Source: k8s.io/apiextensions-apiserver v0.34 (`pkg/registry/customresource`).
"""

from __future__ import annotations

import copy
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gke_notebook.sandbox import jobsets
from gke_notebook.sandbox.apiserver import status, validation
from gke_notebook.sandbox.apiserver.kinds import STATUS, Kind
from gke_notebook.sandbox.apiserver.schema import Type
from gke_notebook.sandbox.apiserver.status import FieldError
from gke_notebook.sandbox.apiserver.validation.fields import FieldTypeError, normalize
from gke_notebook.sandbox.apiserver.validation.metadata import check_metadata, check_metadata_update

from . import columns, structural, types, values
from .structural import Schema

if TYPE_CHECKING:
    from gke_notebook.sandbox.apiserver.cel.schema_rules import Validator

Object = dict[str, Any]

_NAME_COLUMN = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_BLOCKING = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)


class CustomRules:
    """The rules of one custom kind.

    Args:
        group: the group.
        name: the kind.
        schema: its structural schema.
        version: the rest of its version in the definition: columns, subresources, selectable fields.
    """

    def __init__(self, group: str, name: str, schema: Schema, version: Object) -> None:
        self.schema = schema
        self._name = name
        self._version = version
        self._status = STATUS in (version.get("subresources") or {})
        # On a cluster this is a webhook of the kind's own controller, which is part of the sandbox.
        self._webhook = jobsets if (group, name) == (jobsets.GROUP, jobsets.KIND) else None

    @cached_property
    def type(self) -> Type:
        """The type of its objects."""
        return types.root(self._name, self.schema)

    @property
    def strategic(self) -> bool:
        """Whether its objects take strategic merge patches."""
        return False

    def check_fields(self, kind: Kind, obj: Object, mode: str, duplicates: list[str], patch: str | None) -> list[str]:
        """Prune and default an object in place; gives the warnings of the mode.

        Args:
            kind: the kind.
            obj: the object.
            mode: the `fieldValidation` parameter.
            duplicates: fields that the body named twice.
            patch: the text to quote when a patch has made the object.

        Raises:
            StatusError: 400 or 422.
        """
        meta = obj.get("metadata")
        if meta is None:
            obj.pop("metadata", None)
        elif not isinstance(meta, dict):
            text = f"json: cannot unmarshal {_json(meta)} into Go value of type v1.ObjectMeta"
            raise validation.undecodable(kind, text, patch)
        try:
            unknown = [f"metadata.{path}" for path in normalize(types.metadata(), obj.get("metadata") or {})]
        except FieldTypeError as error:
            raise validation.undecodable(kind, str(error), patch) from error
        unknown += structural.prune(self.schema, obj)
        structural.drop_nulls(self.schema, obj)
        self.set_defaults(obj)
        if mode not in {validation.STRICT, validation.WARN}:
            return []
        found = [f"duplicate field {status.quote(path)}" for path in duplicates]
        found += [f"unknown field {status.quote(path)}" for path in unknown]
        if found and mode == validation.STRICT:
            raise validation.undecodable(kind, "strict decoding error: " + ", ".join(found), patch)
        return found

    def check_applied(self, obj: Object) -> list[str]:
        """Give the paths of an applied configuration that the schema does not name, and remove nulls in place.

        Args:
            obj: the configuration.

        Raises:
            FieldTypeError: metadata of a wrong type.
        """
        meta = obj.get("metadata")
        found = normalize(types.metadata(), meta, exact=True) if isinstance(meta, dict) else []
        structural.drop_nulls(self.schema, obj)
        return [*(f"metadata.{path}" for path in found), *structural.prune(self.schema, obj)]

    def set_defaults(self, obj: Object) -> None:
        """Fill in the defaults of the schema, in place.

        Args:
            obj: the object.
        """
        structural.set_defaults(self.schema, obj)
        if self._webhook is not None:
            self._webhook.set_defaults(obj)

    def begin(self, obj: Object) -> None:
        """Set what a new object begins with, in place.

        Args:
            obj: the object.
        """
        if self._status:
            obj.pop(STATUS, None)
        obj["metadata"]["generation"] = 1

    def carry_over(self, new: Object, old: Object, subresource: str) -> None:
        """Put back what an update does not write, and count the generation.

        Args:
            new: the object after the change, changed in place.
            old: the object as stored.
            subresource: ``status`` or empty.
        """
        if subresource == STATUS:
            sent, written = new["metadata"], new.get(STATUS)
            new.clear()
            new.update(copy.deepcopy(old))
            new.pop(STATUS, None)
            if written is not None:
                new[STATUS] = written
            if "managedFields" in sent:
                new["metadata"]["managedFields"] = sent["managedFields"]
            return
        if self._status:
            new.pop(STATUS, None)
            if STATUS in old:
                new[STATUS] = old[STATUS]
        if _without_metadata(new) != _without_metadata(old):
            new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1

    def check_create(self, kind: Kind, obj: Object) -> list[str]:
        """Check a new object.

        Args:
            kind: the kind.
            obj: the object.

        Raises:
            StatusError: 422.
        """
        errors = check_metadata(kind, obj["metadata"]) + values.check(self.schema, obj)
        warnings = self._refuse(kind, obj, errors + values.check_lists(self.schema, obj))
        self._deny(self._webhook.check_create(obj) if self._webhook is not None else [])
        return warnings + _finalizer_warnings(obj, {})

    def check_update(self, kind: Kind, new: Object, old: Object, subresource: str) -> list[str]:
        """Check a changed object; what was wrong before and has not changed is let be, as a real server does.

        Args:
            kind: the kind.
            new: the object after the change.
            old: the object as stored.
            subresource: ``status`` or empty.

        Raises:
            StatusError: 422.
        """
        errors = check_metadata_update(kind, new["metadata"], old["metadata"])
        before = set(map(str, self._wrong(old, subresource)))
        errors += [each for each in self._wrong(new, subresource) if str(each) not in before]
        if not values.check_lists(self.schema, old):
            errors += values.check_lists(self.schema, new)
        warnings = self._refuse(kind, new, errors, old)
        self._deny(self._webhook.check_update(new, old) if self._webhook is not None and not subresource else [])
        return warnings + _finalizer_warnings(new, old)

    @staticmethod
    def _deny(errors: list[str]) -> None:
        if errors:
            raise status.StatusError(403, "Forbidden", jobsets.WEBHOOK + "\n".join(errors), {})

    def _wrong(self, obj: Object, subresource: str) -> list[FieldError]:
        if not subresource:
            return values.check(self.schema, obj)
        schema = (self.schema.get("properties") or {}).get(STATUS)
        if schema is None or STATUS not in obj:
            return []
        # The status is checked on its own, so the texts name its fields from there.
        return [
            FieldError(each.type, ".".join(filter(None, (STATUS, each.field))), each.message)
            for each in values.check(schema, obj[STATUS])
        ]

    @cached_property
    def _validator(self) -> Validator | None:
        """The rules in CEL; None when the schema has none."""
        if not has_rules(self.schema):
            return None
        from gke_notebook.sandbox.apiserver.cel.schema_rules import Validator

        return Validator(self.schema, root=True)

    def _refuse(self, kind: Kind, obj: Object, errors: list[FieldError], old: Object | None = None) -> list[str]:
        """Refuse an object with errors or that a rule does not hold for; gives warnings."""
        warnings: list[str] = []
        if self._validator is not None and not any(error.type in _BLOCKING for error in errors):
            from gke_notebook.sandbox.apiserver.cel.schema_rules import Checking

            checking = Checking()
            checking.check(self._validator, obj, old)
            errors, warnings = errors + checking.errors, checking.warnings
        elif self._validator is not None:
            text = (
                "some validation rules were not checked because the object was invalid; correct the existing errors to "
                "complete validation"
            )
            errors = [*errors, status.FieldError("FieldValueInvalid", "<nil>", f"Invalid value: null: {text}")]
        if errors:
            raise status.invalid(kind, obj["metadata"].get("name", ""), errors)
        return warnings

    def columns(self) -> list[Object]:
        """Give the column definitions of a Table."""
        name = {"name": "Name", "type": "string", "format": "name", "description": _NAME_COLUMN, "priority": 0}
        return [name, *(_definition(column) for column in self._columns)]

    def cells(self, obj: Object, now: datetime) -> list[Any]:
        """Give the cells of one object.

        Args:
            obj: the object.
            now: the time that ages are counted from.
        """
        found = [columns.cell(each["type"], each["jsonPath"], obj, now) for each in self._columns]
        return [obj["metadata"].get("name", ""), *found]

    @property
    def _columns(self) -> list[Object]:
        return self._version.get("additionalPrinterColumns") or [_AGE]

    def selectable(self) -> dict[str, str]:
        """Give the fields a field selector may name, with their paths."""
        found = [each.get("jsonPath", "").removeprefix(".") for each in self._version.get("selectableFields") or ()]
        return {path: path for path in found}


def _json(value: Any) -> str:
    from gke_notebook.sandbox.apiserver.decode import json_name

    return json_name(value)


def _definition(column: Object) -> Object:
    path = column["jsonPath"]
    text = column.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format", ""),
        "description": text,
        "priority": column.get("priority", 0),
    }


def _without_metadata(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key != "metadata"}


def _finalizer_warnings(new: Object, old: Object) -> list[str]:
    before = (old.get("metadata") or {}).get("finalizers") or ()
    found = []
    for name in sorted(set(new["metadata"].get("finalizers") or ()) - set(before)):
        if "/" not in name and name not in {"orphan", "foregroundDeletion", "kubernetes"}:
            path = " including a path (/)" if "." in name else ""
            found.append(
                f"metadata.finalizers: {status.quote(name)}: prefer a domain-qualified finalizer name{path} to avoid "
                "accidental conflicts with other finalizer writers"
            )
    return found


def has_rules(schema: Any) -> bool:
    """Tell whether a schema has `x-kubernetes-validations` anywhere.

    Args:
        schema: the schema.
    """
    if isinstance(schema, list):
        return any(has_rules(item) for item in schema)
    if not isinstance(schema, dict):
        return False
    return bool(schema.get("x-kubernetes-validations")) or any(has_rules(item) for item in schema.values())
