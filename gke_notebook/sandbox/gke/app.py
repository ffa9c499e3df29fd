"""The web application of the sandbox's Google Cloud: who may ask, which API is asked, how errors are written.

Paths are those of google.cloud.container_v1 over REST (2.67.0), of gcloud 528 and of the others' discovery documents.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from aiohttp import web

from gke_notebook.sandbox import loopback
from gke_notebook.sandbox.gke import own_api
from gke_notebook.sandbox.gke.failures import ApiFailure
from gke_notebook.sandbox.gke.keeper import Keeper
from gke_notebook.sandbox.gke.resources import Settings

Object = dict[str, Any]
_log = logging.getLogger(__name__)

_SIGN_IN = "Expected OAuth 2 access token, login cookie or other valid authentication credential."
_FAULT_TEXTS = {
    403: "The caller does not have permission",
    429: "Quota exceeded for quota metric 'All requests' and limit 'All requests per minute' of service "
    "'{api}.googleapis.com'.",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
}
MOST_BODY = 2**20  # bytes of a request; a node pool is a few thousand


def create_app(keeper: Keeper, settings: Settings) -> web.Application:
    """Make the web application.

    Args:
        keeper: of the fleet that it shows and changes.
        settings: where the cluster is, and who may ask.
    """

    logs: list[Any] = []  # one log, made when it is asked for first

    async def handle(request: web.Request) -> web.Response:
        api = api_of(request.path)
        try:
            _sign_in(request, settings.token)
            raw = await request.read()
            if api == "logging":
                from gke_notebook.sandbox.gke.logging_api import Log

                if not logs:
                    logs.append(Log())
                code, body = 200, logs[0].answer(request.method, request.path, raw)
            else:
                code, body = await _answer(keeper, settings, request, api, raw)
        except ApiFailure as failure:
            code, body = failure.code, failure.body(compute=api == "compute")
        return web.Response(
            status=code,
            body=msgspec.json.encode(body),
            content_type="application/json",
            headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'} if code == 401 else None,
        )

    app = web.Application(middlewares=[loopback.refuse_foreign], client_max_size=MOST_BODY)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def _sign_in(request: web.Request, token: str) -> None:
    if loopback.has_token(request, token):
        return
    given = request.headers.get("Authorization", "")
    what = "had invalid" if given else "is missing required"
    raise ApiFailure(401, f"Request {what} authentication credential{'s' if given else ''}. {_SIGN_IN}")


def api_of(path: str) -> str:
    """Say which API a path belongs to: ``container``, ``compute``, ``cloudquotas``, ``billing``, ``logging`` or
    ``sandbox``.

    Args:
        path: the path, decoded.

    Example:
        >>> api_of("/compute/v1/projects/p/zones")
        'compute'
    """
    if path.startswith(own_api.PREFIX):
        return "sandbox"
    if path.startswith("/compute/"):
        return "compute"
    if path.startswith("/v2/entries:"):
        return "logging"
    if path.startswith("/v1/services"):
        return "billing"
    return "cloudquotas" if "/locations/global/services/" in path else "container"


async def _answer(keeper: Keeper, settings: Settings, request: web.Request, api: str, raw: bytes) -> tuple[int, Any]:
    method, path = request.method, request.path
    if api == "sandbox":
        return 200, await own_api.answer(keeper, method, path, request.query, raw)
    fault = keeper.fleet.failing(api, method)
    if fault is not None:
        raise ApiFailure(fault.code, _FAULT_TEXTS[fault.code].format(api=api))
    # Imported when they are asked for first, so that the sandbox is up sooner.
    if api == "compute":
        from gke_notebook.sandbox.gke import compute

        return 200, compute.answer(keeper.fleet, method, path, request.query, raw)
    if api == "billing":
        from gke_notebook.sandbox.gke import billing

        return billing.answer(method, path, request.query)
    if api == "cloudquotas":
        from gke_notebook.sandbox.gke import cloudquotas

        return 200, cloudquotas.answer(keeper.fleet, method, path)
    if not path.startswith("/v1"):
        raise ApiFailure(404, f"The sandbox does not serve {path[:200]}.")
    from gke_notebook.sandbox.gke import container

    return 200, container.answer(keeper.fleet, settings, method, path, raw)
