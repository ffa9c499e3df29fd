"""Google credentials as gcloud's variables and Application Default Credentials give them; no gcloud binary."""

from __future__ import annotations

import os
import warnings
from datetime import timezone
from pathlib import Path
from typing import Any

from gke_notebook.cluster.connection import FreshToken
from gke_notebook.errors import NotConnected

TOKEN_FILE = "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"  # noqa: S105 - the name of gcloud's variable, not a token
# Clusters know a service account by its e-mail address only when the token carries the second scope.
SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
_MARGIN_SECONDS = 225.0  # google-auth's own margin: a token is renewed 3:45 before its end
_ADVICE = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"


def find(token_file: str = "") -> Any:
    """Find Google credentials: the token file of CLOUDSDK_AUTH_ACCESS_TOKEN_FILE, else the application default ones.

    Args:
        token_file: a file with a token that goes before all others, empty for none.

    Returns:
        A `google.auth.credentials.Credentials`.

    Raises:
        NotConnected: there are none; the text says what to do.
    """
    path = token_file or os.environ.get(TOKEN_FILE)
    if path:
        return _from_file(Path(path))
    import google.auth
    import google.auth.exceptions

    try:
        with warnings.catch_warnings():
            # It warns of user credentials without a quota project, which these calls do not need.
            warnings.simplefilter("ignore", UserWarning)
            found, _ = google.auth.default(scopes=SCOPES)
    except google.auth.exceptions.GoogleAuthError as error:
        raise NotConnected(f"there are no Google credentials on this machine ({_line(error)}); {_ADVICE}") from error
    return found


def token_source(credentials: Any) -> FreshToken:
    """Make the token source of a connection out of Google credentials; they are refreshed in a thread.

    Args:
        credentials: a `google.auth.credentials.Credentials`.
    """

    def fetch() -> str | None:
        refresh(credentials)
        token: str | None = credentials.token
        return token

    def expires() -> float | None:
        end = credentials.expiry  # a naive time in UTC
        return None if end is None else end.replace(tzinfo=timezone.utc).timestamp() - _MARGIN_SECONDS

    return FreshToken(fetch, credentials.token, expires)


def refresh(credentials: Any) -> None:
    """Get a fresh token.

    Args:
        credentials: a `google.auth.credentials.Credentials`.

    Raises:
        NotConnected: it is refused, or the identity provider does not answer.
    """
    import google.auth.exceptions
    import google.auth.transport.requests

    try:
        credentials.refresh(google.auth.transport.requests.Request())
    except google.auth.exceptions.TransportError as error:
        raise NotConnected(f"Google's sign-in does not answer ({_line(error)})") from error
    except google.auth.exceptions.GoogleAuthError as error:
        raise NotConnected(f"the Google credentials are no longer good ({_line(error)}); {_ADVICE}") from error


def _from_file(path: Path) -> Any:
    import google.auth.credentials

    class TokenFile(google.auth.credentials.Credentials):  # type: ignore[misc] # google-auth has no types
        """A token that somebody else keeps fresh in a file."""

        def refresh(self, request: object) -> None:  # noqa: ARG002 - google-auth's protocol
            """Read the file again."""
            self.token = _read(path)

    found = TokenFile()
    found.token = _read(path)
    return found


def _read(path: Path) -> str:
    try:
        token = path.expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotConnected(f"the token file named by {TOKEN_FILE} cannot be read: {error}") from error
    if not token:
        raise NotConnected(f"the token file named by {TOKEN_FILE}, {path}, is empty")
    return token


def _line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
