"""The errors a user can meet; each text says what was wrong, where, the nearest valid choice and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GkeNotebookError(Exception):
    """Base of every error raised on purpose by this package; its text is one readable line."""


class InvalidInput(GkeNotebookError, ValueError):  # noqa: N818 - reads as a sentence where it is caught
    """Something the user wrote cannot be used; nothing was created."""


class NotConnected(GkeNotebookError):  # noqa: N818
    """There is no session yet, or its cluster cannot be found."""


class ClusterUnreachable(GkeNotebookError):  # noqa: N818
    """The API server does not answer."""


class ApiError(GkeNotebookError):
    """A Kubernetes `Status` answer other than success.

    Args:
        status: the HTTP status code.
        reason: the machine-readable reason, for example ``NotFound`` or ``AlreadyExists``.
        message: the server's own text.
        details: the `details` object of the Status, if any.
    """

    def __init__(self, status: int, reason: str, message: str, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or {}


def nearest(word: str, choices: Iterable[str]) -> str:
    """Say which valid choice a mistyped word was nearest to.

    Args:
        word: what the user wrote.
        choices: the valid words.

    Returns:
        A clause such as ``did you mean 'nodes'?``, or the list of choices when none is near.

    Example:
        >>> nearest("nods", ["nodes", "gpu"])
        "did you mean 'nodes'?"
    """
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "choose one of: " + ", ".join(known)


class JobFailed(GkeNotebookError):  # noqa: N818
    """A training job has ended without success; the text names the first failing rank, its exit code and the traceback.

    Args:
        text: the message.
        name: the job's name.
    """

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name


class StillRunning(GkeNotebookError, TimeoutError):  # noqa: N818
    """A wait ended before the job did; the job goes on."""
