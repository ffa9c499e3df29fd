"""Kinds, errors, the schema table, discovery and OpenAPI."""

from __future__ import annotations

import pytest

from gke_notebook.sandbox.apiserver import discovery, openapi, status
from gke_notebook.sandbox.apiserver.kinds import BODY_KINDS, KINDS, find, find_kind
from gke_notebook.sandbox.apiserver.model_docs import describe
from gke_notebook.sandbox.apiserver.schema import schema, type_of


def kind_of(name):
    return next(kind for kind in KINDS if kind.kind == name)


def test_kinds_are_found_by_path_and_by_manifest():
    jobs = find("batch", "v1", "jobs")
    assert jobs is find_kind("batch/v1", "Job")
    assert (jobs.resource_name, jobs.list_kind, jobs.api_version) == ("jobs.batch", "JobList", "batch/v1")
    assert find("", "v1", "persistentvolumeclaims") is None
    assert kind_of("Pod").short_names == ("po",)
    assert kind_of("Pod").subresource("eviction").group == "policy"
    assert "deletecollection" not in kind_of("Namespace").verbs


@pytest.mark.parametrize("kind", [*KINDS, *BODY_KINDS], ids=lambda kind: kind.kind)
def test_the_schema_covers_every_kind(kind):
    root = type_of(kind)
    if kind.kind != "DeleteOptions":
        assert root.fields["metadata"].type == "meta.ObjectMeta"
    seen, todo = set(), [root]
    while todo:
        type_ = todo.pop()
        if type_.name in seen:
            continue
        seen.add(type_.name)
        for name, field in type_.fields.items():
            assert (field.struct is None) == bool(field.base), f"{type_.name}.{name}: {field.type}"
            if field.list_type == "map":
                assert set(field.keys) <= set(field.struct.fields), f"{type_.name}.{name}"
            if field.struct is not None:
                todo.append(field.struct)


def test_the_schema_knows_what_merging_and_the_wire_need():
    types = schema().types
    ports = types["core.Container"].fields["ports"]
    assert (ports.number, ports.keys, ports.merge_key) == (6, ("containerPort", "protocol"), "containerPort")
    assert types["core.ContainerPort"].fields["protocol"].default == "TCP"
    assert types["core.PodSpec"].fields["volumes"].retains_keys
    assert types["core.Volume"].fields["configMap"].via == 2
    assert types["core.ResourceRequirements"].fields["limits"].go_type == "v1.ResourceList"
    assert types["meta.LabelSelector"].atomic


def test_an_invalid_object_is_refused_in_the_servers_words():
    jobs = kind_of("Job")
    one = status.invalid(jobs, "x", [status.required("spec.foo")])
    assert one.message == 'Job.batch "x" is invalid: spec.foo: Required value'
    two = status.invalid(jobs, "x", [status.required("a"), status.required("a"), status.invalid_value("b", 1, "no")])
    assert two.message == 'Job.batch "x" is invalid: [a: Required value, b: Invalid value: 1: no]'
    answer = two.to_object()
    assert (answer["code"], answer["reason"]) == (422, "Invalid")
    assert answer["details"]["kind"] == "Job"
    assert answer["details"]["causes"][2] == {
        "reason": "FieldValueInvalid", "message": "Invalid value: 1: no", "field": "b",
    }  # fmt: skip


def test_other_errors_are_in_the_servers_words():
    jobs = kind_of("Job")
    assert status.not_found(jobs, "x").message == 'jobs.batch "x" not found'
    assert status.already_exists(jobs, "x").to_object()["details"] == {"name": "x", "group": "batch", "kind": "jobs"}
    assert "please apply your changes to the latest version" in status.conflict(jobs, "x").message
    assert status.too_many_requests("later", 7).to_object()["details"] == {"retryAfterSeconds": 7}
    assert status.forbidden(jobs, "", "no").message == "jobs.batch is forbidden: no"
    supported = status.not_supported("a", "x", ["b", "c"])
    assert str(supported) == 'a: Unsupported value: "x": supported values: "b", "c"'


def test_aggregated_discovery_is_given_only_to_those_who_ask_first():
    wanted = discovery.AGGREGATED
    assert discovery.wants_aggregated(f"{wanted},application/json;g=apidiscovery.k8s.io;v=v2beta1,application/json")
    assert not discovery.wants_aggregated("application/json")
    assert not discovery.wants_aggregated(f"application/json,{wanted}")
    assert not discovery.wants_aggregated("")


def test_both_forms_of_discovery_name_the_same_resources():
    documents = [discovery.aggregated(core=True), discovery.aggregated(core=False)]
    found = set()
    for document in documents:
        for item in document["items"]:
            for version in item["versions"]:
                group = item["metadata"].get("name", "")
                found |= {(group, version["version"], each["resource"]) for each in version["resources"]}
    assert found == {(kind.group, kind.version, kind.plural) for kind in KINDS}
    for kind in KINDS:
        rows = discovery.api_resources(kind.group, kind.version)["resources"]
        assert kind.plural in {row["name"] for row in rows}
    assert discovery.api_resources("apps", "v1") is None
    assert discovery.api_group("batch")["preferredVersion"] == {"groupVersion": "batch/v1", "version": "v1"}
    eviction = next(r for r in discovery.api_resources("", "v1")["resources"] if r["name"] == "pods/eviction")
    assert (eviction["group"], eviction["kind"]) == ("policy", "Eviction")


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix("#/components/schemas/")
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


@pytest.mark.parametrize("path", sorted(openapi.index()["paths"]))
def test_an_openapi_document_is_complete_in_itself(path):
    document = openapi.document(path)
    assert set(references(document)) <= set(document["components"]["schemas"])


def test_openapi_says_what_kubectl_looks_for():
    document = openapi.document("apis/batch/v1")
    patch = document["paths"]["/apis/batch/v1/namespaces/{namespace}/jobs/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "batch", "version": "v1", "kind": "Job"}
    assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= {each["name"] for each in patch["parameters"]}
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]
    spec = document["components"]["schemas"]["io.k8s.api.batch.v1.JobSpec"]
    assert spec["required"] == ["template"]
    assert spec["properties"]["completionMode"]["enum"] == ["Indexed", "NonIndexed"]
    assert openapi.document("apis/apps/v1") is None


def test_descriptions_come_from_the_installed_client():
    found = describe("batch.JobSpec")
    assert found["backoffLimit"]
    assert found["completions"]
    assert describe("core.NoSuchType") == {}
