"""The Cloud Billing Catalog API of the sandbox: services and their SKUs, page by page.

Paths, parameters and errors: Cloud Billing API v1, `services.list` and `services.skus.list` (google-cloud-billing
1.21.0).
The prices are those of the catalog's own table (see `skus`), so they are as old as it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gke_notebook.catalog.skus import CLOUD_TPU, COMPUTE_ENGINE
from gke_notebook.sandbox.gke.skus import skus

Object = dict[str, Any]
MAX_PAGE = 5000
_SERVICES = ((COMPUTE_ENGINE, "Compute Engine"), (CLOUD_TPU, "Cloud TPU"))
_PATH = re.compile(r"/v1/services(?:/(?P<service>[^/]+)/skus)?")


def answers(path: str) -> bool:
    """Say whether a path is one of this API.

    Args:
        path: the path, decoded.
    """
    return _PATH.fullmatch(path) is not None


def answer(method: str, path: str, query: Mapping[str, str]) -> tuple[int, Object]:
    """Answer one request that has been authenticated.

    Args:
        method: the HTTP method.
        path: the path, decoded.
        query: the parameters: `pageSize`, `pageToken`, `currencyCode`.

    Returns:
        The HTTP status and the body.
    """
    match = _PATH.fullmatch(path)
    if match is None or method not in {"GET", "HEAD"}:
        return _error(404, "NOT_FOUND", "Method not found.")
    currency = query.get("currencyCode", "USD") or "USD"
    if currency != "USD":
        return _error(400, "INVALID_ARGUMENT", f"The sandbox has no exchange rate for the currency code {currency!r}.")
    service = match["service"]
    if service is None:
        listed: Sequence[Object] = [
            {
                "name": f"services/{found}",
                "serviceId": found,
                "displayName": title,
                "businessEntityName": "businessEntities/GCP",
            }
            for found, title in _SERVICES
        ]
        return _page("services", listed, query)
    if service not in dict(_SERVICES):
        return _error(404, "NOT_FOUND", f"Service not found: services/{service}.")
    return _page("skus", skus(service), query)


def _page(name: str, found: Sequence[Object], query: Mapping[str, str]) -> tuple[int, Object]:
    size, token = query.get("pageSize", "") or "0", query.get("pageToken", "")
    if not re.fullmatch(r"\d{1,9}", size):
        return _error(400, "INVALID_ARGUMENT", f"Invalid value at 'page_size' (TYPE_INT32), {size!r}")
    if not re.fullmatch(r"(?:s\d{1,9})?", token):
        return _error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
    start = int(token[1:] or 0)
    end = start + min(int(size) or MAX_PAGE, MAX_PAGE)
    return 200, {name: list(found[start:end]), "nextPageToken": f"s{end}" if end < len(found) else ""}


def _error(code: int, status: str, message: str) -> tuple[int, Object]:
    return code, {"error": {"code": code, "message": message, "status": status}}
