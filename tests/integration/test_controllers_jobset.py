"""A JobSet with every controller: its pods run, a failure starts it anew, and it takes what it made along."""

from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import JOBS, PODS, SERVICES
from gke_notebook.sandbox.agents import define_kinds
from gke_notebook.sandbox.controllers.jobset_controller import JOBSETS
from tests.support.controlled_cluster import pod_spec, running_cluster


async def test_a_jobset_fails_starts_anew_and_completes():
    async with running_cluster() as cluster:
        await define_kinds(cluster.connection)
        await define_kinds(cluster.connection)  # as after a restart
        job = {"parallelism": 1, "completions": 1, "backoffLimit": 0, "template": {"spec": pod_spec()}}
        replicated = [
            {"name": "leader", "template": {"spec": job}},
            {"name": "workers", "replicas": 2, "template": {"spec": job}},
        ]
        body = {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": "training", "namespace": "default"},
            "spec": {"replicatedJobs": replicated, "failurePolicy": {"maxRestarts": 1}},
        }
        await cluster.client.create(JOBSETS, body)

        async def status() -> dict[str, Any]:
            return (await cluster.client.get(JOBSETS, "training")).get("status") or {}

        async def all_ready() -> bool:
            counts = {each["name"]: each["ready"] for each in (await status()).get("replicatedJobsStatus") or ()}
            return counts == {"leader": 1, "workers": 2}

        await cluster.node("node-1")
        await cluster.until(all_ready)
        names = {pod["spec"]["hostname"] for pod in await cluster.pods()}
        assert names == {"training-leader-0-0", "training-workers-0-0", "training-workers-1-0"}
        assert {pod["spec"]["subdomain"] for pod in await cluster.pods()} == {"training"}
        assert (await cluster.client.get(SERVICES, "training"))["spec"]["clusterIP"] == "None"
        failed = (await cluster.pods())[0]
        await cluster.kubelet.patch(failed, "Failed", 1)

        async def started_anew() -> bool:
            return (await status()).get("restarts") == 1 and await all_ready()

        await cluster.until(started_anew)
        cluster.kubelet.end(0)

        async def completed() -> bool:
            return (await status()).get("terminalState") == "Completed"

        await cluster.until(completed)
        await cluster.client.delete(JOBSETS, "training")
        for name in ("training-leader-0", "training-workers-0", "training-workers-1"):
            await cluster.gone(JOBS, name)
        await cluster.gone(SERVICES, "training")

        async def no_pods() -> bool:
            return not (await cluster.client.list(PODS, "default"))["items"]

        await cluster.until(no_pods)
