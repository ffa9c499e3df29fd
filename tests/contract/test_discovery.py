"""What a client learns of a server before its first object: discovery, OpenAPI, version, health."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.sandbox.apiserver.kinds import KINDS
from tests.contract.both import Both, Side

Object = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
BETA = AGGREGATED.replace("v=v2", "v=v2beta1")
PROTOBUF = [(", application/vnd.kubernetes.protobuf", "")]
SERVED = {(kind.group, kind.plural) for kind in KINDS} | {("apiextensions.k8s.io", "customresourcedefinitions")}
GROUPS = sorted({group for group, _ in SERVED if group})
GROUP_VERSIONS = ["api/v1", *(f"apis/{group}/v1" for group in GROUPS)]
# Paths below an object that the real server has besides: how a process in a container is reached, and the like.
NOT_SERVED = ("attach", "ephemeralcontainers", "exec", "portforward", "proxy", "resize")


def common_groups(body: Object) -> list[Object]:
    """Give the groups of a list that both servers serve, in its order."""
    key = "groups" if "groups" in body else "items"
    return [each for each in body[key] if (each.get("name") or each["metadata"].get("name", "")) in {*GROUPS, ""}]


def common_resources(group: str, rows: list[Object]) -> list[Object]:
    """Give the resources of a group version that both serve; a hash says how a server stores them, not what."""
    found = []
    for row in rows:
        name, _, subresource = (row.get("name") or row["resource"]).partition("/")
        if (group, name) not in SERVED or subresource in NOT_SERVED:
            continue
        shown = {key: value for key, value in row.items() if key != "storageVersionHash"}
        if "subresources" in row:
            shown["subresources"] = [each for each in row["subresources"] if each["subresource"] not in NOT_SERVED]
        found.append(shown)
    return found


async def test_legacy_discovery(both: Both):
    async def scenario(side: Side) -> Any:
        said: list[Any] = []
        versions = (await side.ask("GET", "/api"))["body"]
        assert versions.pop("serverAddressByClientCIDRs")[0]["clientCIDR"] == "0.0.0.0/0"
        said.append(versions)
        groups = (await side.ask("GET", "/apis"))["body"]
        said.append([groups["kind"], groups["apiVersion"], common_groups(groups)])
        said += [(await side.ask("GET", f"/apis/{group}"))["body"] for group in GROUPS]
        for path in GROUP_VERSIONS:
            body = (await side.ask("GET", f"/{path}"))["body"]
            group = path.split("/")[1] if path != "api/v1" else ""
            said.append({**body, "resources": common_resources(group, body["resources"])})
        said.append([[each["asked"], each["status"], each["headers"]] for each in side.transcript])
        return said

    await both.compare(scenario, kind="*", feature="discovery")


@pytest.mark.parametrize(
    "accept", [AGGREGATED, BETA, f"{AGGREGATED},{BETA},application/json", f"{BETA},application/json"]
)
async def test_aggregated_discovery(both: Both, accept: str):
    async def scenario(side: Side) -> Any:
        said = []
        for path in ("/api", "/apis"):
            answer = await side.ask("GET", path, headers={"Accept": accept})
            body = answer["body"]
            if "items" in body:
                body["items"] = common_groups(body)
                for group in body["items"]:
                    group["metadata"].pop("creationTimestamp", None)
                    for version in group["versions"]:
                        name = group["metadata"].get("name", "")
                        version["resources"] = common_resources(name, version["resources"])
            elif "groups" in body:
                body["groups"] = common_groups(body)
            body.pop("serverAddressByClientCIDRs", None)
            said.append(answer)
        return said

    await both.compare(scenario, kind="*", feature="aggregated discovery", rules=PROTOBUF)


async def test_odd_ways_to_ask(both: Both):
    async def scenario(side: Side) -> None:
        for path in (
            "/api/v2", "/apis/nothing", "/apis/nothing/v1", "/apis/batch/v9", "/nothing", "/version/x", "/openapi",
            "/openapi/v4", "/openapi/v3/nothing", "/openapi/v3/apis/batch/v9", "/livez/nothing", "/api/v1/nothing",
        ):  # fmt: skip
            await side.ask("GET", path)
        for path in ("/api", "/apis", "/api/v1", "/apis/batch", "/apis/batch/v1"):
            posted = await side.ask("POST", path, {}, record=False)
            side.transcript.append([posted["status"], posted["body"]["kind"], posted["body"].get("message")])
            await side.ask("GET", path, headers={"Accept": "text/html"})
            await side.ask("GET", path, headers={"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"})
        await side.ask("GET", "/apis/batch", headers={"Accept": AGGREGATED})
        both_forms = {"Accept": f"{AGGREGATED},application/json"}
        either = await side.ask("GET", "/apis/batch/v1", headers=both_forms, record=False)
        side.transcript.append([either["headers"], either["body"]["kind"]])

    await both.compare(scenario, kind="*", feature="discovery: odd ways to ask", rules=PROTOBUF)


async def test_version_and_health(both: Both):
    async def scenario(side: Side) -> Any:
        body = (await side.ask("GET", "/version", record=False))["body"]
        told = ("major", "minor", "emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor")
        side.transcript.append([sorted(body), [body[key] for key in told], body["gitVersion"]])
        for root in ("/healthz", "/livez", "/readyz"):
            await side.ask("GET", root)
            await side.ask("GET", root + "/")
            for check in ("ping", "log", "etcd"):
                await side.ask("GET", f"{root}/{check}")
            excluding = [("verbose", "1"), ("exclude", "ping"), ("exclude", "odd")]
            for params in ([("verbose", "")], excluding, [*excluding, ("exclude", "more")]):
                verbose = await side.ask("GET", root, params=params, record=False)
                side.transcript.append([verbose["status"], verbose["headers"], well_known(verbose["body"])])
            await side.ask("GET", root, params={"exclude": "odd"})
        await side.ask("GET", "/livez/ping", params={"verbose": ""})

    await both.compare(scenario, kind="*", feature="version, healthz, livez, readyz")


def well_known(text: str) -> list[str]:
    """Give the lines of a report of health but those of the parts that only one of the servers is made of."""
    parts = ("poststarthook/", "autoregister", "etcd-readiness", "informer-sync")
    return [line for line in text.splitlines() if not any(part in line for part in parts)]


def comparable(value: Any) -> Any:
    """Give an OpenAPI document without what is text, protobuf, a kind that is not served, or known to differ."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, item in value.items():
        text = key == "description" and isinstance(item, str)
        form = any(word in key for word in ("vnd.kubernetes.protobuf", "cbor"))
        if text or form or key in ("x-kubernetes-unions", "externalDocs"):
            continue
        if key == "x-kubernetes-group-version-kind" and isinstance(item, list):
            served = {"", "apiextensions.k8s.io", *GROUPS}
            found[key] = [each for each in item if each["group"] in served and each["version"] == "v1"]
        elif key == "parameters" and isinstance(item, list):
            odd = "ignoreStoreReadErrorWithClusterBreakingPotential"
            found[key] = comparable([each for each in item if each["name"] != odd])
        else:
            found[key] = comparable(item)
    return found


# The definition of definitions is described less deeply than on the real server: schemas hold schemas.
@pytest.mark.parametrize("path", [path for path in GROUP_VERSIONS if "apiextensions" not in path])
async def test_openapi(both: Both, path: str):
    documents: dict[str, Object] = {}

    async def scenario(side: Side) -> Any:
        index = (await side.ask("GET", "/openapi/v3"))["body"]
        answer = await side.ask(
            "GET", index["paths"][path]["serverRelativeURL"], headers={"Accept": "application/json"}
        )
        document = comparable(answer["body"])
        documents[side.name] = document
        ours = documents["embedded"]
        # The embedded server serves fewer kinds: what it describes is compared, whole.
        schemas = {name: document["components"]["schemas"].get(name) for name in ours["components"]["schemas"]}
        azure = schemas.get("io.k8s.api.core.v1.AzureDiskVolumeSource")
        scoped = schemas.get("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations")
        if scoped:  # the values of a type of another package are not documented there
            scoped["properties"]["scope"].pop("enum", None)
        for name in ("cachingMode", "kind"):  # their defaults are named constants, which the table does not hold
            if azure:
                azure["properties"][name].pop("default", None)
        return [
            answer["status"], answer["headers"], document["openapi"], document["info"],
            document["components"].get("securitySchemes"), schemas,
            {path: document["paths"].get(path) for path in ours["paths"]},
        ]  # fmt: skip

    await both.compare(scenario, kind="*", feature=f"OpenAPI of {path}")


def without_prose(text: str) -> list[str]:
    """Give the lines of `kubectl explain` that are no description: those are not the server's own here."""
    head, _, rest = text.partition("DESCRIPTION:")
    fields = rest.partition("FIELDS:")[2]
    return [*head.splitlines(), *(line for line in fields.splitlines() if "\t" in line or "enum:" in line)]


EXPLAINED = (
    "configmap", "pod", "pod.spec", "pod.spec.containers", "pod.spec.containers.resources.limits",
    "pod.spec.tolerations.operator", "pod.status.phase", "job", "job.spec", "job.spec.completionMode",
    "job.spec.podFailurePolicy.rules", "node.status.addresses", "service.spec.ports.targetPort", "namespace",
    "resourcequota.spec", "limitrange.spec.limits", "role.rules", "clusterrolebinding.roleRef", "priorityclass",
    "lease.spec", "serviceaccount", "event.source", "secret.stringData", "endpoints.subsets", "persistent",
    "pod.spec.nothing", "job.metadata.ownerReferences.uid",
)  # fmt: skip


async def test_kubectl_explain(both: Both):
    async def scenario(side: Side) -> Any:
        for path in EXPLAINED:
            await side.run_kubectl("explain", path)
        for path in ("job", "pod.spec.containers.livenessProbe", "resourcequota", "clusterrole"):
            await side.run_kubectl("explain", path, "--recursive")
        await side.run_kubectl("explain", "job.spec.suspend", "--api-version=batch/v1")
        return [{**each, "out": without_prose(each["out"])} for each in side.transcript]

    await both.compare(scenario, kind="*", feature="kubectl explain")


async def test_kubectl_api_resources_and_versions(both: Both):
    async def scenario(side: Side) -> Any:
        for arguments in (
            ("--no-headers", "-o", "wide"), ("-o", "name", "--namespaced=false"), ("--verbs=list,get", "--no-headers"),
            ("--api-group=batch",), ("--categories=all", "-o", "name"), ("--sort-by=kind", "--no-headers"),
            ("--api-group=nothing",),
        ):  # fmt: skip
            await side.run_kubectl("api-resources", *arguments)
        await side.run_kubectl("api-versions")
        said = []
        for each in side.transcript:
            lines = [" ".join(line.split()) for line in each["out"].splitlines()]
            said.append([each["kubectl"], each["code"], each["err"], [line for line in lines if is_common(line)]])
        assert len(said[0][3]) == len(SERVED)
        return said

    await both.compare(scenario, kind="*", feature="kubectl api-resources, api-versions")


def is_common(line: str) -> bool:
    """Tell whether a line of `kubectl api-resources` or `api-versions` is about what both servers serve."""
    first, *rest = line.split()
    if first == "NAME":
        return True
    names = {f"{plural}.{group}" if group else plural for group, plural in SERVED}
    versions = {"v1", "apiextensions.k8s.io/v1", *(f"{group}/v1" for group in GROUPS)}
    if not rest:
        return first in names | versions
    version = next((word for word in rest if word == "v1" or "/v" in word), "")
    return (version.rpartition("/")[0], first) in SERVED and version in versions


async def test_openapi_of_version_2_is_not_served(both: Both):
    manifest = """{"apiVersion": "apps/v2", "kind": "Deployment", "metadata": {"name": "web"}}"""

    async def scenario(side: Side) -> None:
        assert (await side.ask("GET", "/openapi/v2"))["status"] == 200
        assert 'no matches for kind "Deployment"' in (await side.kubectl.run("create", "-f", "-", stdin=manifest)).err

    async def refused(side: Side) -> None:
        assert (await side.ask("GET", "/openapi/v2"))["status"] == 404
        answer = await side.kubectl.run("create", "-f", "-", stdin=manifest)
        assert answer.code == 1
        assert "the server could not find the requested resource" in answer.err

    await both.only_real(scenario, refused, kind="*", feature="OpenAPI of version 2")
