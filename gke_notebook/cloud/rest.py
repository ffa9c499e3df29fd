"""Google Cloud's REST APIs that have no client among our dependencies: Compute Engine, Cloud Quotas, Cloud Billing.

Endpoints are overridden by gcloud's own variables, `CLOUDSDK_API_ENDPOINT_OVERRIDES_` and the service in capitals.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gke_notebook.cloud import credentials
from gke_notebook.errors import ClusterUnreachable, GkeNotebookError

_TIMEOUT = 30.0
_TRIES = 4
_FIRST_WAIT = 0.5
_TRANSIENT = {429, 500, 502, 503, 504}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class CloudError(GkeNotebookError):
    """A Google API has answered with an error.

    Args:
        text: one line: the service, the status and what it said.
        status: the HTTP status.
        reason: the status in words, for example ``PERMISSION_DENIED``.
        message: the service's own text.
    """

    def __init__(self, text: str, status: int, reason: str, message: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.message = message


def endpoint(service: str) -> str:
    """Give the address of a service, without a slash at its end.

    Args:
        service: for example ``compute``, ``cloudquotas`` or ``cloudbilling``.
    """
    given = os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}", "").rstrip("/")
    # gcloud's override for Compute Engine ends in the version of the API.
    return given.removesuffix("/v1").removesuffix("/compute") or f"https://{service}.googleapis.com"


class Rest:
    """Calls of one service with one set of credentials.

    Args:
        service: for example ``compute``.
        signed_in: a `google.auth.credentials.Credentials`; found as `credentials.find` does when not given.
        address: where the service is, when not where `endpoint` says.
    """

    def __init__(self, service: str, signed_in: Any = None, address: str = "") -> None:
        import google.auth.transport.requests

        self.service = service
        self.address = address.rstrip("/") or endpoint(service)
        self._session = google.auth.transport.requests.AuthorizedSession(signed_in or credentials.find())
        if urlsplit(self.address).hostname in LOOPBACK:
            self._session.trust_env = False  # no proxy stands between this machine and itself

    def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make one call; one that only reads is made again when the service says that it is busy.

        Args:
            method: the HTTP method.
            path: from the root, for example ``/compute/v1/projects/p/zones``.
            query: the parameters.
            body: what is sent as JSON.

        Returns:
            The JSON of the answer.

        Raises:
            CloudError: the service refuses.
            ClusterUnreachable: it does not answer.
            NotConnected: the credentials are no longer good.
        """
        tries = _TRIES if method in {"GET", "HEAD"} else 1
        wait = _FIRST_WAIT
        while True:
            tries -= 1
            answer = self._send(method, path, query, body)
            if answer.status_code < 400:
                found: dict[str, Any] = answer.json() if answer.content else {}
                return found
            if answer.status_code not in _TRANSIENT or tries <= 0:
                raise self._error(answer)
            time.sleep(_seconds(answer.headers.get("Retry-After"), wait))
            wait *= 2

    def pages(self, path: str, items: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Give the items of a list, page by page.

        Args:
            path: from the root.
            items: the field that holds them, for example ``skus``.
            query: the parameters.

        Raises:
            CloudError: the service refuses.
            ClusterUnreachable: it does not answer.
        """
        token = ""
        while True:
            answer = self.call("GET", path, query={**(query or {}), **({"pageToken": token} if token else {})})
            yield from answer.get(items) or ()
            token = answer.get("nextPageToken") or ""
            if not token:
                return

    def close(self) -> None:
        """Give the connections back; nothing can be called after it."""
        self._session.close()

    def _send(self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None) -> Any:
        import google.auth.exceptions
        import requests

        try:
            return self._session.request(
                method, f"{self.address}{path}", params=query, json=body, timeout=_TIMEOUT, allow_redirects=False
            )
        except google.auth.exceptions.RefreshError:
            credentials.refresh(self._session.credentials)  # says what is wrong, and what to do
            raise
        except (requests.RequestException, google.auth.exceptions.TransportError) as error:
            text = " ".join(str(error).split())[:200]
            raise ClusterUnreachable(f"{self.address} ({self.service}) does not answer ({text})") from error

    def _error(self, answer: Any) -> CloudError:
        try:
            found = answer.json().get("error", {})
        except (ValueError, AttributeError):
            found = {}
        message = " ".join(str(found.get("message") or answer.reason or "").split())
        reason = str(found.get("status") or "")
        text = f"the {self.service} API answered {answer.status_code}{f' {reason}' if reason else ''}: {message}"
        return CloudError(text, answer.status_code, reason, message)


def _seconds(given: str | None, otherwise: float) -> float:
    return min(float(given), 30.0) if given and given.isdigit() else otherwise
