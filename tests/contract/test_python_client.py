"""The official Python client against the embedded API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import watch

from tests.support.apiserver import TOKEN, running_server, test_certificates


@pytest.fixture
async def api() -> AsyncIterator[Any]:
    async with running_server(tls=True) as connection:
        configuration = kubernetes.Configuration()
        configuration.host = connection.server
        configuration.ssl_ca_cert = str(test_certificates().authority)
        configuration.api_key = {"authorization": f"Bearer {TOKEN}"}
        configuration.proxy = None
        with kubernetes.ApiClient(configuration) as found:
            yield found


def pod(name: str) -> Any:
    container = kubernetes.V1Container(name="c", image="i", resources={"limits": {"nvidia.com/gpu": "1"}})
    meta = kubernetes.V1ObjectMeta(name=name, labels={"app": name})
    return kubernetes.V1Pod(metadata=meta, spec=kubernetes.V1PodSpec(containers=[container]))


async def test_objects_come_back_typed(api: Any):
    core = kubernetes.CoreV1Api(api)

    def use() -> None:
        created = core.create_namespaced_pod("default", pod("x"))
        assert created.status.phase == "Pending"
        assert created.spec.tolerations[0].toleration_seconds == 300
        patched = core.patch_namespaced_pod("x", "default", {"metadata": {"labels": {"a": "b"}}})
        assert patched.metadata.labels == {"app": "x", "a": "b"}
        listed = core.list_pod_for_all_namespaces(label_selector="app=x")
        assert [each.metadata.name for each in listed.items] == ["x"]
        assert listed.items[0].metadata.creation_timestamp == created.metadata.creation_timestamp
        pages, token = [], None
        core.create_namespaced_pod("default", pod("y"))
        while token is None or token:
            page = core.list_namespaced_pod("default", limit=1, _continue=token)
            pages.append([each.metadata.name for each in page.items])
            token = page.metadata._continue or ""
        assert pages == [["x"], ["y"]]
        assert core.delete_namespaced_pod("x", "default").metadata.name == "x"
        with pytest.raises(kubernetes.ApiException) as caught:
            core.read_namespaced_pod("x", "default")
        assert (caught.value.status, caught.value.reason) == (404, "Not Found")

    await asyncio.to_thread(use)


async def test_a_watch_yields_typed_events(api: Any):
    core = kubernetes.CoreV1Api(api)

    def use() -> list[tuple[str, str]]:
        core.create_namespaced_pod("default", pod("x"))
        core.create_namespaced_pod("default", pod("y"))
        core.delete_namespaced_pod("x", "default")
        version = core.list_namespaced_pod("default").metadata.resource_version
        core.create_namespaced_pod("default", pod("z"))
        stream = watch.Watch().stream(core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=1)
        return [(event["type"], event["object"].metadata.name) for event in stream]

    assert await asyncio.to_thread(use) == [("ADDED", "z")]


async def test_jobs_and_reviews(api: Any):
    batch, rights = kubernetes.BatchV1Api(api), kubernetes.AuthorizationV1Api(api)

    def use() -> None:
        spec = kubernetes.V1PodSpec(restart_policy="Never", containers=[kubernetes.V1Container(name="c", image="i")])
        template = kubernetes.V1PodTemplateSpec(spec=spec)
        job_spec = kubernetes.V1JobSpec(completions=2, completion_mode="Indexed", template=template)
        job = kubernetes.V1Job(metadata=kubernetes.V1ObjectMeta(name="j"), spec=job_spec)
        created = batch.create_namespaced_job("default", job)
        uid = created.metadata.uid
        assert created.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": uid}
        attributes = kubernetes.V1ResourceAttributes(verb="create", group="batch", resource="jobs")
        review_spec = kubernetes.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        review = kubernetes.V1SelfSubjectAccessReview(spec=review_spec)
        assert rights.create_self_subject_access_review(review).status.allowed is True

    await asyncio.to_thread(use)
