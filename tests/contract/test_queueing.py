"""Queueing with Kueue's own objects: our controller beside the real Kueue."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.cluster.resources import JOBS
from gke_notebook.sandbox import kueue
from gke_notebook.sandbox.controllers.jobset_controller import JOBSETS
from tests.contract.both import Both, Side
from tests.contract.queue_world import CLUSTER, FLAVOR, LOCAL, RULES, Life, World, container, world


async def admitted_at_once(w: World) -> None:
    toleration = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}
    taint = {"key": "spot", "value": "yes", "effect": "NoSchedule"}
    await w.flavor("f", nodeLabels={"pool": "spot"}, nodeTaints=[taint], tolerations=[toleration])
    await w.cluster_queue("cq", ("f", 4))
    await w.local_queue()
    await w.count()
    await w.job("one", 2)
    await w.settled("runs", one="admitted")
    await w.running("one", 2)
    await w.end("one")
    # What a flavor tolerates makes a job differ from its Workload once that is no longer admitted, and Kueue 0.15
    # deletes a Workload that differs.
    await w.settled("done", one="gone")


async def waits_for_quota(w: World) -> None:
    await w.queues(("f", 3))
    await w.job("a", 2)
    await w.settled("first", a="admitted")
    await w.job("b", 2)
    await w.settled("second waits", a="admitted", b="Pending")
    await w.running("a", 2)
    await w.end("a")
    await w.settled("second runs", a="finished", b="admitted")


async def fails(w: World) -> None:
    await w.queues(("f", 3))
    await w.job("a")
    await w.running("a", 1)
    await w.end("a", "Failed")
    await w.settled("failed", a="finished")


async def by_priority(w: World) -> None:
    for name, value in (("high", 10), ("low", 1)):
        await w.make(kueue.WORKLOAD_PRIORITY_CLASSES, name, {"value": value, "description": "d"})
    await w.queues(("f", 2), stopPolicy="Hold")
    for name in ("low", "high"):
        await w.job(name, 2, labels={kueue.PRIORITY_LABEL: w.name(name)})
    await w.settled("held", waiting=2, low="Inadmissible", high="Inadmissible")
    await w.change(CLUSTER, w.name("cq"), {"spec": {"stopPolicy": "None"}})
    await w.settled("let go", low="Pending", high="admitted")


async def strictly_in_order(w: World) -> None:
    await w.queues(("f", 3), queueingStrategy="StrictFIFO")
    await w.job("a", 2)
    await w.settled("first", a="admitted")
    await w.make(kueue.WORKLOAD_PRIORITY_CLASSES, "high", {"value": 10, "description": "d"})
    await w.job("b", 2, labels={kueue.PRIORITY_LABEL: w.name("high")})
    await w.settled("second waits", a="admitted", b="Pending")
    await w.job("c", 1)
    await w.settled("third waits behind", waiting=2, a="admitted", b="Pending", c="new")
    await w.running("a", 2)
    await w.end("a")
    await w.settled("both run", a="finished", b="admitted", c="admitted")


async def smaller_goes_first(w: World) -> None:
    await w.queues(("f", 3))
    await w.job("a", 2)
    await w.settled("first", a="admitted")
    await w.job("b", 2)
    await w.settled("second waits", a="admitted", b="Pending")
    await w.job("c", 1)
    await w.settled("third passes", a="admitted", b="Pending", c="admitted")


async def second_flavor(w: World) -> None:
    await w.flavor("x", nodeLabels={"pool": "x"})
    await w.flavor("y", nodeLabels={"pool": "y"})
    await w.cluster_queue("cq", ("x", 2), ("y", 2))
    await w.local_queue()
    await w.count()
    await w.job("a", 2)
    await w.settled("first", a="admitted")
    await w.job("b", 2)
    await w.settled("second", a="admitted", b="admitted")
    await w.job("c", 2)
    await w.settled("third", a="admitted", b="admitted", c="Pending")


async def which_flavor(w: World) -> None:
    taint = {"key": "gpu", "value": "present", "effect": "NoSchedule"}
    await w.flavor("tainted", nodeLabels={"pool": "x"}, nodeTaints=[taint])
    await w.flavor("other", nodeLabels={"pool": "y"})
    await w.cluster_queue("cq", ("tainted", 4), ("other", 4))
    await w.local_queue()
    await w.count()
    await w.job("a", pod={"nodeSelector": {"pool": "z", "irrelevant": "yes"}})
    await w.settled("no such nodes", a="Pending")
    await w.job("b", pod={"nodeSelector": {"pool": "y"}})
    await w.settled("chosen", a="Pending", b="admitted")
    await w.job("c", pod={"containers": [{**container(), "resources": {"requests": {"memory": "1Gi"}}}]})
    await w.settled("not covered", a="Pending", b="admitted", c="Pending")


async def too_big(w: World) -> None:
    await w.queues(("f", 3))
    await w.job("a", 4, cpu="1500m")
    await w.settled("too big", a="Pending")


async def without_flavor(w: World) -> None:
    await w.cluster_queue("cq", ("f", 3))
    await w.local_queue()
    await w.count()
    await w.job("a")
    await w.settled("inactive", waiting=1, a="Inadmissible")
    await w.flavor("f")
    await w.settled("active", a="admitted")


async def without_queues(w: World) -> None:
    await w.flavor("f")
    await w.job("a")
    await w.settled("no queue", counted=False, a="Inadmissible")
    await w.local_queue()
    await w.settled("no cluster queue", counted=False, a="Inadmissible")
    await w.cluster_queue("cq", ("f", 3))
    await w.settled("both there", a="admitted")


async def other_namespaces(w: World) -> None:
    await w.queues(("f", 3), namespaceSelector={"matchLabels": {"team": "nobody"}})
    await w.job("a")
    await w.settled("not for this namespace", a="Pending")


async def deactivated(w: World) -> None:
    await w.queues(("f", 2))
    await w.job("a", 2)
    await w.running("a", 2)
    await w.job("b", 2)
    await w.settled("before", a="admitted", b="Pending")
    await w.change_workload("a", {"spec": {"active": False}})
    await w.running("a", 0)
    await w.settled("stopped", a="evicted", b="admitted")
    await w.change_workload("a", {"spec": {"active": True}})
    await w.settled("again", waiting=1, a="evicted", b="admitted")
    await w.running("b", 2)
    await w.end("b")
    await w.settled("runs again", a="admitted", b="finished")


async def cluster_queue_stopped(w: World) -> None:
    await w.queues(("f", 3))
    await w.job("a", 2)
    await w.running("a", 2)
    await w.settled("before", a="admitted")
    await w.change(CLUSTER, w.name("cq"), {"spec": {"stopPolicy": "Hold"}})
    await w.job("b")
    await w.settled("held", waiting=1, a="admitted", b="Inadmissible")
    await w.change(CLUSTER, w.name("cq"), {"spec": {"stopPolicy": "HoldAndDrain"}})
    await w.running("a", 0)
    await w.settled("drained", waiting=2, a="evicted", b="Inadmissible")
    await w.change(CLUSTER, w.name("cq"), {"spec": {"stopPolicy": "None"}})
    await w.settled("goes on", a="admitted", b="admitted")


async def local_queue_stopped(w: World) -> None:
    await w.queues(("f", 3))
    await w.job("a", 2)
    await w.running("a", 2)
    await w.settled("before", a="admitted")
    await w.change(LOCAL, "lq", {"spec": {"stopPolicy": "HoldAndDrain"}})
    await w.running("a", 0)
    await w.settled("drained", waiting=0, a="evicted")
    await w.job("b")
    await w.settled("held", waiting=0, a="evicted", b="Inadmissible")
    await w.change(LOCAL, "lq", {"spec": {"stopPolicy": "None"}})
    await w.settled("goes on", a="admitted", b="admitted")


async def deleted(w: World) -> None:
    await w.queues(("f", 2))
    await w.job("a", 2)
    await w.running("a", 2)
    await w.job("b", 2)
    await w.settled("before", a="admitted", b="Pending")
    await w.delete(JOBS, "a")
    await w.settled("quota given back", a="gone", b="admitted")
    await w.running("b", 2)
    await w.delete(CLUSTER, w.name("cq"))
    await w.delete(FLAVOR, w.name("f"))
    await w.settled("in use", b="admitted")


async def changed(w: World) -> None:
    await w.queues(("f", 2))
    await w.job("a", 2)
    await w.settled("before", a="admitted")
    await w.job("b", 2)
    await w.settled("waits", a="admitted", b="Pending")
    await w.change(JOBS, "a", {"metadata": {"labels": {kueue.QUEUE_LABEL: "other"}}})
    await w.change(JOBS, "a", {"metadata": {"labels": {kueue.PRIORITY_LABEL: "other"}}})
    await w.change(JOBS, "b", {"metadata": {"labels": {kueue.QUEUE_LABEL: "other"}}})
    await w.settled("another queue", waiting=0, a="admitted", b="Inadmissible")
    await w.change(JOBS, "b", {"metadata": {"labels": {kueue.QUEUE_LABEL: "lq"}}})
    await w.settled("back", a="admitted", b="Pending")
    await w.change(JOBS, "b", {"spec": {"parallelism": 3}})
    await w.settled("another number of pods", a="admitted", b="Pending")


async def jobset(w: World) -> None:
    def replicated(name: str, replicas: int, pods: int, cpu: str) -> Any:
        pod = {"spec": {"restartPolicy": "Never", "containers": [container(cpu)]}}
        job = {"parallelism": pods, "completions": pods, "backoffLimit": 0, "template": pod}
        return {"name": name, "replicas": replicas, "template": {"spec": job}}

    await w.flavor("f", nodeLabels={"pool": "spot"})
    await w.cluster_queue("cq", ("f", 5))
    await w.local_queue()
    await w.count()
    jobs = [replicated("leader", 1, 1, "1"), replicated("workers", 2, 2, "500m")]
    labels = {kueue.QUEUE_LABEL: "lq"}
    await w.make(JOBSETS, "js", {"metadata": {"labels": labels}, "spec": {"replicatedJobs": jobs}})
    await w.running("js", 5)
    await w.settled("runs", js="admitted")
    await w.change_workload("js", {"spec": {"active": False}})
    await w.running("js", 0)
    await w.settled("stopped", js="evicted")
    await w.change_workload("js", {"spec": {"active": True}})
    await w.running("js", 5)
    await w.settled("runs again", js="admitted")
    await w.end("js")
    await w.settled("done", js="finished")


async def refused(w: World) -> None:
    async def quota(*resources: tuple[str, Any], covered: tuple[str, ...] = ("cpu",), **more: Any) -> None:
        found = [{"name": name, "nominalQuota": value, **more} for name, value in resources]
        flavors = [{"name": "f", "resources": found}]
        group = {"coveredResources": list(covered), "flavors": flavors}
        await w.make(CLUSTER, "bad", {"spec": {"namespaceSelector": {}, "resourceGroups": [group]}})

    await quota(("cpu", 1), covered=("cpu", "memory"))
    await quota(("memory", 1))
    await quota(("cpu", -1))
    await quota(("cpu", 1), borrowingLimit=1)
    await quota(("cpu", 1), lendingLimit=1)
    await quota(("a b", 1), covered=("a b",))
    wrong = [{"key": "a", "operator": "Foo"}]
    await w.make(CLUSTER, "bad", {"spec": {"namespaceSelector": {"matchExpressions": wrong}}})
    taints = [
        {"key": "x y", "effect": "NoSchedule", "value": "1 2"},
        {"key": "a", "effect": "NoSchedule"},
        {"key": "a", "effect": "NoSchedule"},
    ]
    tolerations = [{"key": "z z", "operator": "Exists"}]
    await w.flavor("bad", nodeLabels={"a b": "c"}, nodeTaints=taints, tolerations=tolerations)
    await w.flavor("bad", nodeTaints=[{"key": "a", "effect": "Foo"}])
    await w.flavor("bad", tolerations=[{"operator": "Equal", "value": "x"}])
    await w.job("bad", queue="A_b", labels={kueue.MAX_TIME_LABEL: "0"})
    await w.job("bad", labels={kueue.MAX_TIME_LABEL: "x"})
    one = {"name": "main", "count": 2, "template": {"spec": {"containers": [container()]}}}
    reserved = {"resources": {"requests": {"pods": 1}}, "name": "c", "image": "i"}
    await w.make(kueue.WORKLOADS, "bad", {"spec": {"podSets": [{**one, "minCount": 3}]}})
    broken = {**one, "template": {"spec": {"containers": [reserved]}}}
    await w.make(kueue.WORKLOADS, "bad", {"spec": {"podSets": [broken]}})
    await w.local_queue("lq", "cq")
    await w.change(LOCAL, "lq", {"spec": {"clusterQueue": "other"}})


LIVES: list[tuple[Life, str, str]] = [
    (admitted_at_once, "Workload", "admission, start, end; labels and tolerations of the flavor"),
    (waits_for_quota, "Workload", "waiting for quota"),
    (fails, "Workload", "a job that fails"),
    (by_priority, "WorkloadPriorityClass", "order"),
    (strictly_in_order, "ClusterQueue", "StrictFIFO"),
    (smaller_goes_first, "ClusterQueue", "BestEffortFIFO"),
    (second_flavor, "ResourceFlavor", "the second is taken when the first is full"),
    (which_flavor, "ResourceFlavor", "taints and node selectors"),
    (too_big, "Workload", "more than there is"),
    (without_flavor, "ClusterQueue", "inactive without its flavor"),
    (without_queues, "LocalQueue", "missing queues"),
    (other_namespaces, "ClusterQueue", "namespaceSelector"),
    (deactivated, "Workload", "deactivation and reactivation"),
    (cluster_queue_stopped, "ClusterQueue", "stopPolicy"),
    (local_queue_stopped, "LocalQueue", "stopPolicy"),
    (deleted, "ClusterQueue", "deletion of what is in use"),
    (changed, "Workload", "changes of a job that waits or runs"),
    (jobset, "JobSet", "queueing"),
    (refused, "ClusterQueue", "what definitions and webhooks refuse"),
]


@pytest.mark.parametrize(("life", "kind", "feature"), LIVES, ids=[life.__name__ for life, _, _ in LIVES])
async def test_queues_work_as_kueue_has_them(life: Life, kind: str, feature: str, both_queues: Both):
    async def scenario(side: Side) -> Any:
        async with world(side) as found:
            await life(found)
            return found.seen

    await both_queues.compare(scenario, kind=kind, feature=f"queueing: {feature}", rules=RULES)


async def test_tables(both_queues: Both):
    async def scenario(side: Side) -> Any:
        async with world(side) as w:
            await w.queues(("f", 2))
            await w.job("a", 2)
            await w.job("b", 2)
            await w.settled("before", a="admitted", b="Pending")
            await w.make(kueue.WORKLOAD_PRIORITY_CLASSES, "high", {"value": 10, "description": "d"})
            for word in ("cq", "flavor", "workloadpriorityclasses"):
                await side.run_kubectl("get", word, "-o", "wide", w.name({"cq": "cq", "flavor": "f"}.get(word, "high")))
            await side.run_kubectl("get", "lq", "-o", "wide")
            await side.run_kubectl("get", "queue,wl")
            await side.run_kubectl("get", "cq", w.name("cq"))
            return None

    # Names are as long as a hash makes them, and so are the columns.
    rules = [*RULES, (r" +", " "), (r"\b\d+s\b", "<age>"), (r"workload[a-z]*\.kueue\.x-k8s\.io/", "")]
    await both_queues.compare(scenario, kind="ClusterQueue", feature="queueing: kubectl get", rules=rules)


async def test_what_is_left_to_kueue_itself_is_refused(both_queues: Both):
    bodies: list[tuple[Any, dict[str, Any], str]] = [
        (CLUSTER, {"spec": {"cohort": "all"}}, "spec.cohort"),
        (CLUSTER, {"spec": {"preemption": {"withinClusterQueue": "LowerPriority"}}}, "spec.preemption"),
        (CLUSTER, {"spec": {"admissionChecks": ["check"]}}, "spec.admissionChecks"),
        (FLAVOR, {"spec": {"nodeLabels": {"a": "b"}, "topologyName": "racks"}}, "spec.topologyName"),
    ]

    async def refusal(side: Side) -> None:
        async with world(side) as w:
            for resource, body, text in bodies:
                await w.make(resource, "x", body)
                code, reason, message = w.seen[-1]
                assert (code, reason) == (403, "Forbidden")
                assert text in message
                assert "--control-plane" in message
            await w.job("a", 2, labels={kueue.PREBUILT_LABEL: "mine"})
            assert kueue.PREBUILT_LABEL in w.seen[-1][2]

    async def accepted(side: Side) -> None:
        async with world(side) as w:
            await w.make(CLUSTER, "a", {"spec": {"cohortName": w.name("all"), "namespaceSelector": {}}})
            await w.make(CLUSTER, "b", {"spec": {"preemption": {"withinClusterQueue": "LowerPriority"}}})
            assert all(isinstance(each, dict) for each in w.seen)

    feature = "queueing: cohorts, preemption, admission checks, topology, prebuilt Workloads"
    await both_queues.only_real(accepted, refusal, kind="ClusterQueue", feature=feature)
