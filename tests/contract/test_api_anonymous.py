"""What is answered without a token, or with a credential that is none."""

# The cases are tables, one a line.
# ruff: noqa: E501
from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import CONFIG_MAPS
from tests.contract.both import Both, Side
from tests.contract.samples import ECHO, SAMPLES, config_map

DOCUMENTS = (
    "/", "/api", "/apis", "/api/v1", "/apis/batch", "/apis/batch/v1", "/version", "/version/", "/healthz", "/livez", "/readyz",
    "/healthz/ping", "/livez/ping", "/readyz/ping", "/livez/nothing", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1",
    "/metrics", "/nothing", "/logs", "/debug/pprof", "/api/", "/apis/", "/.well-known/openid-configuration", "/openid/v1/jwks",
    "/api/v2", "/apis/nothing.example.com", "/apis/nothing.example.com/v1",
)  # fmt: skip


def shape(answer: Any) -> Any:
    """Leave out what the answers of documents hold: which server it is."""
    body = answer["body"]
    refused = isinstance(body, dict) and body.get("kind") == "Status"
    return {
        "status": answer["status"],
        "headers": answer["headers"] if refused else {},
        "body": body if refused else "",
    }


async def test_documents_without_a_token(both: Both):
    async def scenario(side: Side) -> Any:
        return {
            f"{method} {path}": shape(await side.ask(method, path, anonymous=True))
            for path in DOCUMENTS
            for method in ("GET", "POST", "HEAD")
        }

    await both.compare(scenario, kind="*", feature="documents without a token: 403", rules=ECHO)


async def test_resources_without_a_token(both: Both):
    async def scenario(side: Side) -> None:
        for resource in SAMPLES:
            collection, one = side.path(resource), side.path(resource, "x")
            for method, path in (
                ("GET", collection), ("GET", resource.path()), ("GET", collection + "?watch=1"), ("GET", one), ("GET", one + "/status"),
                ("POST", collection), ("PUT", one), ("PATCH", one), ("DELETE", one), ("DELETE", collection), ("GET", one + "/nothing"),
                ("GET", collection + "?fieldSelector=metadata.name%3Dx"), ("OPTIONS", collection), ("HEAD", one),
            ):  # fmt: skip
                body = {} if method in {"POST", "PUT", "PATCH"} else None
                await side.ask(method, path, body, anonymous=True)
        for path in (
            f"/api/v1/namespaces/{side.namespace}/nothings",
            "/api/v1/nothings/x/y/z",
            "/apis/batch/v7/jobs",
            "/apis/x.example.com/v1/things/a",
            f"/apis/apps/v1/namespaces/{side.namespace}/deployments/x",
            "/api/v2/pods",
            "/api/v1/pods/x/log",
            f"/api/v1/namespaces/{side.namespace}/pods/x/log",
            f"/api/v1/watch/namespaces/{side.namespace}/pods",
            "/api/v1/proxy/nodes/x",
            f"/api/v1/namespaces/{side.namespace}/pods/x/exec",
            f"/api/v1/namespaces/{side.namespace}/pods/x/proxy/a/b",
            "/api/v1/namespaces//pods",
            "/api/v1//pods",
            "/api/v1/namespaces/a/pods/b/c/d/e",
        ):
            for method in ("GET", "POST"):
                await side.ask(method, path, anonymous=True)
        for kind in ("selfsubjectreviews",):
            await side.ask(
                "POST",
                f"/apis/authentication.k8s.io/v1/{kind}",
                {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
                anonymous=True,
            )
        for kind in ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"):
            await side.ask("POST", f"/apis/authorization.k8s.io/v1/{kind}", {}, anonymous=True)

    await both.compare(scenario, kind="*", feature="resources without a token: 403", rules=ECHO)


async def test_other_credentials(both: Both):
    async def scenario(side: Side) -> None:
        token = await side.client.connection.token(False)
        for value in (
            "",
            "Basic YTpi",
            "Bearer",
            "Bearer  x",
            f"Bearer  {token}",
            "Negotiate x",
            "x",
            f"bearer {token}",
            f"Bearer {token} x",
            f" Bearer {token} ",
            "Bearer a b",
        ):
            for path in ("/version", "/api", side.path(CONFIG_MAPS), "/nothing"):
                answer = await side.ask("GET", path, headers={"Authorization": value}, record=False)
                side.transcript.append([value.replace(str(token), "TOKEN"), path, shape(answer)])

    await both.compare(scenario, kind="*", feature="credentials of other schemes", rules=ECHO)


async def test_requests_that_no_role_allows(both: Both):
    async def scenario(side: Side) -> None:
        headers = {"Impersonate-User": "nobody"}
        for path in (
            f"/api/v1/namespaces/{side.namespace}/nothings",
            "/api/v1/nothings",
            "/apis/batch/v7/jobs",
            "/apis/x.example.com/v1/things/a",
            "/apis/apps/v1/deployments",
            "/api/v2/pods",
            "/nothing",
            "/api/v1/pods",
            side.path(CONFIG_MAPS, "x"),
            "/apis/batch",
            "/apis/nothing",
            "/api/v1/namespaces/a/nothings/b/c",
        ):
            for method in ("GET", "POST", "DELETE", "PATCH", "PUT", "OPTIONS"):
                await side.ask(
                    method, path, config_map("x") if method in {"POST", "PUT", "PATCH"} else None, headers=headers
                )

    await both.compare(scenario, kind="*", feature="403 before 404 for who has no rights", rules=ECHO)
