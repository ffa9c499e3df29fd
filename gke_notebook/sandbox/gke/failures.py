"""The errors of Google's APIs: a status, a code of google.rpc, a text."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

# google.rpc.Code by HTTP status where only the status is given (google/rpc/code.proto).
_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
# The numbers of google.rpc.Code, as `Operation.error` has them.
NUMBERS = {
    "CANCELLED": 1, "INVALID_ARGUMENT": 3, "NOT_FOUND": 5, "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10, "INTERNAL": 13, "UNAVAILABLE": 14,
}  # fmt: skip
# The reasons that Compute Engine adds to each error (the older form of Google's JSON errors).
_REASON = {
    400: "invalid", 401: "authError", 403: "forbidden", 404: "notFound", 409: "alreadyExists",
    412: "conditionNotMet", 429: "rateLimitExceeded", 500: "backendError", 501: "notImplemented", 503: "backendError",
}  # fmt: skip


class ApiFailure(Exception):  # noqa: N818 - it is an answer, not a defect
    """What an API answers in place of a result.

    Args:
        code: the HTTP status.
        message: the text.
        status: the name of the google.rpc.Code; by default the one that belongs to the HTTP status.
    """

    def __init__(self, code: int, message: str, status: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUS[code]

    def body(self, *, compute: bool = False) -> Object:
        """Give the answer's body.

        Args:
            compute: in the form of Compute Engine, which lists reasons.
        """
        error: Object = {"code": self.code, "message": self.message}
        if compute:
            reason = _REASON[self.code]
            error["errors"] = [{"message": self.message, "domain": "global", "reason": reason}]
        return {"error": {**error, "status": self.status}}


def invalid(message: str) -> ApiFailure:
    """Make the answer to an argument that is not valid.

    Args:
        message: the text.
    """
    return ApiFailure(400, message)


def precondition(message: str) -> ApiFailure:
    """Make the answer to what cannot be done now.

    Args:
        message: the text.
    """
    return ApiFailure(400, message, "FAILED_PRECONDITION")


def not_found(name: str) -> ApiFailure:
    """Make the answer to a name that does not exist.

    Args:
        name: the resource's whole name.
    """
    return ApiFailure(404, f"Not found: {name}.")
