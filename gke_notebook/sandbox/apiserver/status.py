"""The errors of the Kubernetes API, word for word, as `Status` objects.

Source of codes, reasons and texts: k8s.io/apimachinery v0.34, packages `api/errors` and `util/validation/field`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .kinds import Kind

_LABELS = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}


def quote(text: str) -> str:
    """Write a string as Go's ``%q`` does.

    Args:
        text: any text.

    Example:
        >>> print(quote('a "b"\\n\\u200b'))
        "a \\"b\\"\\n\\u200b"
    """
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(map(_quoted, text))}"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _quoted(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if character.isprintable():
        return character
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xD800 <= code < 0xE000:
        return "\ufffd"  # no character at all
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_value(value: object) -> str:
    """Write a value as the server does in "Invalid value": strings quoted, numbers bare, the rest as compact JSON.

    Args:
        value: any JSON value.
    """
    if isinstance(value, str):
        return quote(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field.

    Args:
        type: the machine-readable cause, for example ``FieldValueRequired``.
        field: the path, for example ``spec.containers[0].image``.
        message: the text after the path, for example ``Required value``.

    Example:
        >>> str(required("spec.foo"))
        'spec.foo: Required value'
    """

    type: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def cause(self) -> dict[str, str]:
        """Give the entry of `details.causes`."""
        return {"reason": self.type, "message": self.message, "field": self.field}


def _field_error(kind: str, field: str, value: str, detail: str) -> FieldError:
    return FieldError(kind, field, ": ".join(part for part in (_LABELS[kind], value, detail) if part))


def required(field: str, detail: str = "") -> FieldError:
    """Say that a field is missing."""
    return _field_error("FieldValueRequired", field, "", detail)


OMITTED = object()
"""Stands for a value that an error does not repeat."""


def invalid_value(field: str, value: object, detail: str) -> FieldError:
    """Say that a field's value is malformed or out of bounds."""
    return _field_error("FieldValueInvalid", field, "" if value is OMITTED else go_value(value), detail)


def duplicate(field: str, value: object) -> FieldError:
    """Say that a value that must be unique is there twice."""
    return _field_error("FieldValueDuplicate", field, go_value(value), "")


def not_supported(field: str, value: object, choices: Iterable[str]) -> FieldError:
    """Say that a value is none of the known ones; they are listed in the order given."""
    listed = ", ".join(quote(choice) for choice in choices)
    return _field_error(
        "FieldValueNotSupported", field, go_value(value), f"supported values: {listed}" if listed else ""
    )


def field_not_found(field: str, value: object) -> FieldError:
    """Say that a field refers to something that is not there."""
    return _field_error("FieldValueNotFound", field, go_value(value), "")


def field_forbidden(field: str, detail: str) -> FieldError:
    """Say that a field may not be set, or not be changed, here."""
    return _field_error("FieldValueForbidden", field, "", detail)


def too_long(field: str, limit: int) -> FieldError:
    """Say that a value has more than `limit` bytes."""
    return _field_error("FieldValueTooLong", field, "", f"may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    """Say that a list has more than `limit` items."""
    items = "item" if limit == 1 else "items"
    return _field_error("FieldValueTooMany", field, str(actual), f"must have at most {limit} {items}")


class StatusError(Exception):
    """A `Status` answer other than success.

    Args:
        code: the HTTP status code.
        reason: the machine-readable reason, for example ``NotFound``.
        message: the text a user sees.
        details: the `details` object, without `retryAfterSeconds`.
        retry_after: seconds a client should wait, if any.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.warnings: list[str] = []

    def to_object(self) -> dict[str, Any]:
        """Give the metav1 `Status` object."""
        details = None if self.details is None else dict(self.details)
        if self.retry_after:
            details = {**(details or {}), "retryAfterSeconds": self.retry_after}
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if details is not None:
            status["details"] = details
        status["code"] = self.code
        return status


def _details(kind: Kind, name: str = "", *, of: str = "") -> dict[str, Any]:
    found = {"name": name, "group": kind.group, "kind": of or kind.plural}
    return {key: value for key, value in found.items() if value}


def not_found(kind: Kind, name: str) -> StatusError:
    """Say that there is no object of that name."""
    return StatusError(404, "NotFound", f"{kind.resource_name} {quote(name)} not found", _details(kind, name))


def no_such_resource() -> StatusError:
    """Say that the path's resource is not served in a group that is."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(kind: Kind, name: str, *, deleting: bool = False) -> StatusError:
    """Say that the name is taken, perhaps by an object that is being deleted."""
    text = f"{kind.resource_name} {quote(name)} already exists"
    return StatusError(
        409, "AlreadyExists", f"object is being deleted: {text}" if deleting else text, _details(kind, name)
    )


def generate_name_conflict(kind: Kind, name: str) -> StatusError:
    """Say that no free name was found for a `generateName`."""
    why = "the server was not able to generate a unique name for the object"
    text = f"{kind.resource_name} {quote(name)} already exists, {why}"
    return StatusError(409, "AlreadyExists", text, _details(kind, name), retry_after=1)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(kind: Kind, name: str, why: str = MODIFIED) -> StatusError:
    """Say that the object cannot be changed as asked, usually because its resourceVersion has moved on."""
    text = f"Operation cannot be fulfilled on {kind.resource_name} {quote(name)}: {why}"
    return StatusError(409, "Conflict", text, _details(kind, name))


def precondition_uid(kind: Kind, name: str, wanted: str, found: str) -> StatusError:
    """Say that a delete or patch named another uid than the object's."""
    return conflict(kind, name, f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}")


def precondition_version(kind: Kind, name: str, wanted: str, found: str) -> StatusError:
    """Say that a delete named another resourceVersion than the object's."""
    why = f"Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {found}"
    return conflict(kind, name, why)


# Where the storage keeps what a PUT may create (kubernetes v1.34, pkg/registry/*/rest/storage_*.go).
_STORAGE = {"services": "services/specs", "endpoints": "services/endpoints", "nodes": "minions"}


def other_uid(kind: Kind, namespace: str, name: str, wanted: str, found: str = "") -> StatusError:
    """Say that a PUT names another uid than the object's; one that does not exist has none."""
    storage = _STORAGE.get(kind.plural, kind.plural)
    if kind.rules is not None or kind.plural == "customresourcedefinitions":
        storage = f"{kind.group}/{storage}"
    key = "/".join(["/registry", storage, *([namespace] if kind.namespaced else []), name])
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    text = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    return conflict(kind, name, text)


def version_needed(kind: Kind, name: str) -> StatusError:
    """Say that an update of this kind must name the version it is made from; the server names the resource here."""
    error = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
    text = f"{kind.resource_name} {quote(name)} is invalid: {error}"
    return StatusError(422, "Invalid", text, {**_details(kind, name), "causes": [error.cause()]})


def apply_conflict(causes: list[dict[str, str]], message: str) -> StatusError:
    """Say that a server-side apply touches fields of other managers."""
    return StatusError(409, "Conflict", message, {"causes": causes})


def invalid(kind: Kind, name: str, errors: Iterable[FieldError]) -> StatusError:
    """Say what is wrong with an object.

    Args:
        kind: the object's kind.
        name: its name, possibly empty.
        errors: what is wrong; texts said twice are said once.

    Example:
        >>> from gke_notebook.sandbox.apiserver.kinds import find
        >>> invalid(find("batch", "v1", "jobs"), "x", [required("spec.foo")]).message
        'Job.batch "x" is invalid: spec.foo: Required value'
    """
    found = list(errors)
    texts = list(dict.fromkeys(str(error) for error in found))
    said = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    text = f"{kind.kind_name} {quote(name)} is invalid" + (f": {said}" if texts else "")
    details = {**_details(kind, name, of=kind.kind), "causes": [error.cause() for error in found]}
    return StatusError(422, "Invalid", text, details)


def bad_request(message: str) -> StatusError:
    """Say that the request itself makes no sense."""
    return StatusError(400, "BadRequest", message)


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    """Say which body types are accepted."""
    text = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return StatusError(415, "UnsupportedMediaType", text)


def not_acceptable(accepted: Iterable[str], *, served: bool = True) -> StatusError:
    """Say which answer types can be given; `served` says that the type is one, and what it is asked to hold is not."""
    text = (
        "only the following media types are accepted: "
        if served
        else "406: Not Acceptable\n\nAvailable representations: "
    )
    text += ", ".join(accepted)
    return StatusError(406, "NotAcceptable", text, None if served else {})


def method_not_allowed(kind: Kind | None = None, action: str = "") -> StatusError:
    """Say that the verb does not work here; without a kind in the router's words, with one in the registry's."""
    if kind is None or not action:
        text = "the server does not allow this method on the requested resource"
        return StatusError(405, "MethodNotAllowed", text, {})
    text = f"{action} is not supported on resources of kind {quote(kind.resource_name)}"
    return StatusError(405, "MethodNotAllowed", text, _details(kind))


def expired(message: str) -> StatusError:
    """Say that a resourceVersion or continue token is too old."""
    return StatusError(410, "Expired", message)


def too_old(requested: int | str, current: int | str) -> StatusError:
    """Say that a watch asked for events that are no longer kept."""
    return expired(f"too old resource version: {requested} ({current})")


CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter."
)
LIST_EXPIRED = "The resourceVersion for the provided list is too old."


def gone(message: str) -> StatusError:
    """Say that something is gone for good."""
    return StatusError(410, "Gone", message)


def forbidden(kind: Kind, name: str, why: str) -> StatusError:
    """Say that the user, or an admission rule, does not allow it."""
    subject = f"{kind.resource_name} {quote(name)} is " if name else f"{kind.resource_name} is "
    return StatusError(403, "Forbidden", f"{subject if kind.plural else ''}forbidden: {why}", _details(kind, name))


def unauthorized() -> StatusError:
    """Say that the request carries no valid credential."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def too_large(message: str = "limit is 3145728") -> StatusError:
    """Say that the body is larger than the server reads."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    """Say that the client must try again later."""
    return StatusError(429, "TooManyRequests", message, {}, retry_after=retry_after)


def timeout(message: str, retry_after: int = 0) -> StatusError:
    """Say that something did not happen in time."""
    return StatusError(504, "Timeout", f"Timeout: {message}", {}, retry_after=retry_after)


def unavailable(message: str) -> StatusError:
    """Say that the server cannot answer now."""
    return StatusError(503, "ServiceUnavailable", message)


def internal(message: str) -> StatusError:
    """Say that the server itself failed."""
    details = {"causes": [{"message": message}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details)
