"""The GKE API over REST, reading only: clusters, node pools, operations, server configuration.

Paths are those of google.cloud.container_v1 over REST (2.67.0) and of gcloud 528: `locations/` and the older `zones/`.
"""

from __future__ import annotations

import re

import msgspec
from aiohttp import web

from gke_notebook.sandbox import loopback
from gke_notebook.sandbox.gke.resources import GkeState, Object, cluster, node_pool, server_config
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

__all__ = ["GkeState", "answer", "create_app"]

_PATH = re.compile(
    r"/v1(?:alpha1|beta1)?/projects/(?P<project>[^/:]+)/(?P<form>locations|zones)/(?P<location>[^/:]+)/(?P<rest>[^:]+)"
)
_BELOW = re.compile(
    r"(?P<config>server[cC]onfig)"
    r"|operations(?:/(?P<operation>[^/]+))?"
    r"|clusters(?:/(?P<cluster>[^/]+)(?P<pools>/nodePools(?:/(?P<pool>[^/]+))?)?)?"
)
_SIGN_IN = "Expected OAuth 2 access token, login cookie or other valid authentication credential."
# google.rpc.Code by HTTP status, as googleapis map them (google/rpc/code.proto).
_CODES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 501: "UNIMPLEMENTED"}


def create_app(state: GkeState) -> web.Application:
    """Make the web application.

    Args:
        state: what the API knows.
    """

    async def handle(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if not loopback.has_token(request, state.token):
            what = "had invalid" if given else "is missing required"
            code, body = error(401, f"Request {what} authentication credential{'s' if given else ''}. {_SIGN_IN}")
        else:
            code, body = answer(state, request.method, request.path)
        return web.Response(
            status=code,
            body=msgspec.json.encode(body),
            content_type="application/json",
            headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'} if code == 401 else None,
        )

    app = web.Application(middlewares=[loopback.refuse_foreign])
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def answer(state: GkeState, method: str, path: str) -> tuple[int, Object]:
    """Answer one request that has been authenticated.

    Args:
        state: what the API knows.
        method: the HTTP method.
        path: the path, decoded.

    Returns:
        The HTTP status and the body.
    """
    if method not in {"GET", "HEAD"}:
        return error(501, "The sandbox does not change clusters or node pools; `gke-notebook sandbox up` sets them.")
    found = _PATH.fullmatch(path)
    below = _BELOW.fullmatch(found["rest"]) if found else None
    if found is None or below is None:
        return error(501 if path.startswith("/v1") else 404, f"The sandbox does not serve {path}.")
    project, location = found["project"], found["location"]
    if project != PROJECT:
        return error(403, f'Permission denied on project "{project}"; the sandbox has one project, "{PROJECT}".')
    here = location == LOCATION
    parent = f"projects/{project}/{found['form']}/{location}"
    if below["config"]:
        return 200, server_config()
    if found["rest"].startswith("operations"):
        return error(404, f"Not found: {parent}/operations/{below['operation']}.") if below["operation"] else (200, {})
    if below["cluster"] is None:
        return 200, ({"clusters": [cluster(state)]} if here or location == "-" else {})
    if not here or below["cluster"] != CLUSTER:
        return error(404, f"Not found: {parent}/clusters/{below['cluster']}.")
    if below["pools"] is None:
        return 200, cluster(state)
    if below["pool"] is None:
        return 200, {"nodePools": [node_pool(pool) for pool in state.pools]}
    for pool in state.pools:
        if pool.name == below["pool"]:
            return 200, node_pool(pool)
    return error(404, f"Not found: {parent}/clusters/{CLUSTER}/nodePools/{below['pool']}.")


def error(code: int, message: str) -> tuple[int, Object]:
    """Make an error in Google's form.

    Args:
        code: the HTTP status.
        message: the text.
    """
    return code, {"error": {"code": code, "message": message, "status": _CODES[code]}}
