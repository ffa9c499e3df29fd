"""What Kueue's webhooks do inside the API server."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest

from gke_notebook.sandbox import kueue, kueue_definitions
from gke_notebook.sandbox.apiserver.admission_plugins import queue_checks, queues
from gke_notebook.sandbox.apiserver.crd import definitions
from gke_notebook.sandbox.apiserver.crd.definition_rules import DEFINITIONS
from gke_notebook.sandbox.apiserver.kinds import Kind, find
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.store import Store

Object = dict[str, Any]
_TRUE = {"conditions": [{"type": "Established", "status": "True"}]}
_ACCEPTED = [
    {**body, "metadata": {**body["metadata"], "uid": body["metadata"]["name"]}, "status": _TRUE}
    for body in kueue_definitions.definitions()
]
JOBS = find("batch", "v1", "jobs")
assert JOBS is not None


def served(*items: Object) -> Store:
    """A store in which Kueue's kinds are served."""
    store = Store()
    for body in _ACCEPTED:
        store.put(DEFINITIONS, copy.deepcopy(body))
    for item in items:
        store.put(_kinds()[item["kind"]], item)
    return store


@cache
def _kinds() -> dict[str, Kind]:
    return {kind.kind: kind for body in _ACCEPTED if (kind := definitions.kind_of(body)) is not None}


def job(**labels: str) -> Object:
    found = {key.replace("_", "-"): value for key, value in labels.items()}
    return {"metadata": {"name": "j", "namespace": "ns", "labels": found}, "spec": {}}


def queued(name: str = "lq", **spec: Any) -> Object:
    return {"metadata": {"name": "j", "namespace": "ns", "labels": {kueue.QUEUE_LABEL: name}}, "spec": spec}


def test_jobs_for_a_queue_are_held():
    item = queued()
    queues.admit(served(), JOBS, item)
    assert item["spec"]["suspend"] is True


def test_jobs_for_no_queue_are_untouched():
    item = job()
    queues.admit(served(), JOBS, item)
    assert item == job()


def test_nothing_is_held_while_kueue_is_not_served():
    item = queued()
    queues.admit(Store(), JOBS, item)
    assert item == queued()


def test_a_queue_of_the_name_default_is_for_all():
    meta = {"name": "default", "namespace": "ns", "uid": "1"}
    queue = {"apiVersion": kueue.API_VERSION, "kind": "LocalQueue", "metadata": meta}
    item = job(a="b")
    queues.admit(served(queue), JOBS, item)
    assert item["metadata"]["labels"] == {"a": "b", kueue.QUEUE_LABEL: "default"}
    assert item["spec"]["suspend"] is True


@pytest.mark.parametrize("resource", [kueue.CLUSTER_QUEUES, kueue.RESOURCE_FLAVORS], ids=lambda each: each.kind)
def test_what_may_be_in_use_is_kept_until_it_is_not(resource: Any):
    kind = _kinds()[resource.kind]
    quota = {"name": "cpu", "nominalQuota": 0.5}
    groups = [{"coveredResources": ["cpu"], "flavors": [{"name": "f", "resources": [quota]}]}]
    item: Object = {"metadata": {"name": "x"}, "spec": {"resourceGroups": groups}}
    queues.admit(served(), kind, item)
    assert item["metadata"]["finalizers"] == [kueue.FINALIZER]
    assert quota["nominalQuota"] == "500m"
    broken: Object = {"metadata": {"name": "x"}, "spec": {"resourceGroups": [{"flavors": 3}]}}
    queues.admit(served(), kind, broken)  # refused later, by the schema


@pytest.mark.parametrize(
    ("new", "old", "text"),
    [
        (queued("b", suspend=False), queued("a", suspend=True), 'queue-name]: Invalid value: "b": field is immutable'),
        (queued("b", suspend=True), queued("a", suspend=True), ""),
        (queued("A_b"), None, 'queue-name]: Invalid value: "A_b": a lowercase RFC 1123 subdomain'),
    ],
)
def test_changes_of_a_job(new: Object, old: Object | None, text: str):
    if not text:
        queues.check(served(), JOBS, new, old)
        return
    with pytest.raises(StatusError, match=r'admission webhook "vjob\.kb\.io" denied the request: ') as caught:
        queues.check(served(), JOBS, new, old)
    assert text in caught.value.message
    queues.check(Store(), JOBS, new, old)  # nobody to refuse it


@pytest.mark.parametrize("key", ["kueue.x-k8s.io/podset-required-topology", "kueue.x-k8s.io/job-min-parallelism"])
def test_what_cannot_be_done_for_a_job_is_refused(key: str):
    item = queued(template={"metadata": {"annotations": {key: "1"}}})
    item["metadata"]["annotations"] = {key: "1"}
    with pytest.raises(StatusError, match="is not supported by this sandbox"):
        queues.check(served(), JOBS, item)
    del item["metadata"]["labels"]
    queues.check(served(), JOBS, item)


def test_a_reserved_workload_keeps_its_pods_and_its_queue():
    sets = [{"name": "main", "count": 2, "template": {}}]
    reserved = {"conditions": [{"type": "QuotaReserved", "status": "True"}]}
    old = {"spec": {"podSets": sets, "queueName": "a"}, "status": reserved}
    new = {"spec": {"podSets": [{**sets[0], "count": 3}], "queueName": "b"}, "status": reserved}
    assert [str(each) for each in queue_checks.broken_rules("Workload", new, old)] == [
        '<nil>: Invalid value: "object": queueName is immutable while workload quota reserved'
    ]
    assert [each.field for each in queue_checks.denied("Workload", new, old)] == ["spec.podSets.0"]
    assert not queue_checks.broken_rules("Workload", new, {**old, "status": {}})
    assert not queue_checks.denied("Workload", old, old)


def test_definitions_are_as_a_server_takes_them():
    for body in kueue_definitions.definitions():
        (version,) = body["spec"]["versions"]
        assert version["name"] == "v1beta1"
        assert body["metadata"]["name"] == f"{body['spec']['names']['plural']}.{body['spec']['group']}"
