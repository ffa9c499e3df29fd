"""Who goes first, who waits, and what the queues count."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.controllers.kueue_cache import Cache
from gke_notebook.sandbox.controllers.kueue_pending import RETRIED, Entry, Pending

Object = dict[str, Any]


def entry(name: str, priority: int = 0, at: int = 0, *, signature: str = "s", held: bool = False) -> Entry:
    return Entry(("ns", name), (-priority, "", at), ("ns", "lq"), (), signature, name, held)


def drain(pending: Pending) -> list[str]:
    found = []
    while (each := pending.pop()) is not None:
        found.append(each.key[1])
        pending.admitted(each)
    return found


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5)), unique=True, max_size=12))
def test_priority_first_then_age(items: list[tuple[int, int]]):
    pending = Pending(strict=False)
    for index, (priority, at) in enumerate(items):
        pending.push(Entry(("ns", str(index)), (-priority, str(at), index), ("ns", "lq"), (), "s", str(index)))
    order = sorted(range(len(items)), key=lambda index: (-items[index][0], items[index][1], index))
    assert drain(pending) == [str(index) for index in order]


def test_the_first_that_does_not_fit_blocks_a_strict_queue():
    pending = Pending(strict=True)
    pending.push(entry("a", at=1))
    pending.push(entry("b", at=2))
    first = pending.pop()
    assert first is not None
    pending.requeue(first)
    assert pending.pop() is None
    assert len(pending) == 2
    pending.release()
    assert drain(pending) == ["a", "b"]


def test_others_pass_in_a_best_effort_queue():
    pending = Pending(strict=False)
    pending.push(entry("a", at=1))
    pending.push(entry("b", at=2))
    first = pending.pop()
    assert first is not None
    pending.requeue(first)
    assert drain(pending) == ["b", "a"]  # one that asks for the same has fitted, so the other is tried again


def test_what_does_not_fit_is_not_tried_again_for_nothing():
    pending = Pending(strict=False)
    pending.push(entry("a"))
    first = pending.pop()
    assert first is not None
    pending.requeue(first)
    pending.push(entry("a"))  # its status has changed, and nothing else
    assert pending.pop() is None
    pending.release()
    assert pending.pop() is not None


def test_a_bounded_number_is_tried_again():
    pending = Pending(strict=False)
    for index in range(5 * RETRIED):
        pending.push(entry(str(index), at=index))
    while (each := pending.pop()) is not None:
        pending.requeue(each)
    pending.release()
    tried = []
    while (each := pending.pop()) is not None:
        tried.append(each.key[1])
        pending.requeue(each)
    assert tried == [str(index) for index in range(RETRIED)]
    assert len(pending) == 5 * RETRIED


def test_held_workloads_count_and_wait():
    pending = Pending(strict=False)
    pending.push(entry("a", held=True))
    assert (len(pending), pending.pop()) == (1, None)


def test_one_that_goes_while_it_is_tried_does_not_come_back():
    pending = Pending(strict=False)
    pending.push(entry("a"))
    first = pending.pop()
    assert first is not None
    assert len(pending) == 1
    pending.delete(("ns", "a"))
    pending.requeue(first)
    assert len(pending) == 0


def workload(name: str, cpu: str = "1", *, queue: str = "lq", admitted: str = "", **spec: Any) -> Object:
    pod = {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}
    found: Object = {
        "metadata": {"namespace": "ns", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z", "uid": name},
        "spec": {"queueName": queue, "podSets": [{"name": "main", "count": 1, "template": {"spec": pod}}], **spec},
    }
    if admitted:
        assignment = {"name": "main", "count": 1, "flavors": {"cpu": "f"}, "resourceUsage": {"cpu": cpu}}
        conditions = [{"type": type_, "status": "True"} for type_ in ("QuotaReserved", "Admitted")]
        admission = {"clusterQueue": admitted, "podSetAssignments": [assignment]}
        found["status"] = {"conditions": conditions, "admission": admission}
    return found


def cluster_queue(**spec: Any) -> Object:
    flavors = [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": "4"}]}]
    groups = [{"coveredResources": ["cpu"], "flavors": flavors}]
    return {"metadata": {"name": "cq"}, "spec": {"resourceGroups": groups, "namespaceSelector": {}, **spec}}


LOCAL: Object = {"metadata": {"namespace": "ns", "name": "lq"}, "spec": {"clusterQueue": "cq"}}


def cache(*, flavor: bool = True, local: bool = True) -> tuple[Cache, list[Any]]:
    touched: list[Any] = []
    found = Cache(touched.append)
    if flavor:
        found.flavor("f", {"metadata": {"name": "f"}, "spec": {}})
    found.cluster_queue("cq", cluster_queue())
    if local:
        found.local_queue(("ns", "lq"), LOCAL)
    return found, touched


def test_usage_follows_the_workloads():
    found, touched = cache()
    found.workload(("ns", "a"), workload("a"))
    assert [each.key for _, each in found.heads()] == [("ns", "a")]
    touched.clear()
    found.workload(("ns", "a"), workload("a", admitted="cq"))
    cluster, queue = found.clusters["cq"], found.locals["ns", "lq"]
    assert cluster.taken.reserved == queue.taken.used == {("f", "cpu"): 1000}
    assert (len(cluster.pending), found.waiting_in(("ns", "lq"))) == (0, 0)
    assert {"cq", ("ns", "lq")} <= set(touched)
    found.workload(("ns", "a"), None)
    assert (cluster.taken.reserved, cluster.taken.admitted) == ({("f", "cpu"): 0}, set())


def test_quota_that_is_given_back_lets_others_be_tried():
    found, _ = cache()
    found.workload(("ns", "a"), workload("a", admitted="cq"))
    found.workload(("ns", "b"), workload("b", "4"))
    ((cluster, each),) = found.heads()
    cluster.pending.requeue(each)
    assert found.heads() == []
    finished = workload("a", admitted="cq")
    finished["status"]["conditions"].append({"type": "Finished", "status": "True"})
    found.workload(("ns", "a"), finished)
    assert [each.key for _, each in found.heads()] == [("ns", "b")]


def test_an_inactive_workload_gives_its_quota_back():
    found, _ = cache()
    found.workload(("ns", "a"), workload("a", admitted="cq"))
    found.workload(("ns", "a"), workload("a", admitted="cq", active=False))
    assert found.clusters["cq"].taken.reserving == set()


def test_a_queue_that_comes_later_finds_its_workloads():
    found, _ = cache(local=False)
    found.workload(("ns", "a"), workload("a"))
    found.workload(("ns", "b"), workload("b", admitted="cq"))
    assert found.heads() == []
    found.local_queue(("ns", "lq"), LOCAL)
    assert found.locals["ns", "lq"].taken.reserving == {("ns", "b")}
    assert [each.key for _, each in found.heads()] == [("ns", "a")]
    found.local_queue(("ns", "lq"), None)
    assert len(found.clusters["cq"].pending) == 0


def test_a_stopped_local_queue_lets_nothing_through():
    found, _ = cache()
    found.workload(("ns", "a"), workload("a"))
    found.local_queue(("ns", "lq"), {**LOCAL, "spec": {"clusterQueue": "cq", "stopPolicy": "Hold"}})
    assert len(found.clusters["cq"].pending) == 0
    found.local_queue(("ns", "lq"), LOCAL)
    assert [each.key for _, each in found.heads()] == [("ns", "a")]


def test_when_a_cluster_queue_admits():
    found, _ = cache(flavor=False)
    found.workload(("ns", "a"), workload("a"))
    assert found.clusters["cq"].readiness == (
        "False", "FlavorNotFound", "Can't admit new workloads: references missing ResourceFlavor(s): f.",
    )  # fmt: skip
    assert found.heads() == []
    found.flavor("f", {"metadata": {"name": "f"}})
    assert found.clusters["cq"].active
    assert len(found.heads()) == 1
    found.cluster_queue("cq", cluster_queue(stopPolicy="Hold"))
    assert found.clusters["cq"].readiness[1:] == ("Stopped", "Can't admit new workloads: is stopped.")
    gone = cluster_queue()
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found.cluster_queue("cq", gone)
    assert found.clusters["cq"].readiness[1] == "Terminating"
    assert found.users("f") == {"cq"}
    found.cluster_queue("cq", None)
    assert found.users("f") == set()


def test_thousands_wait_and_go_through_in_order():
    """Each change costs the same, however many wait: no queue is searched."""
    found, _ = cache()
    names = [f"w{index:05}" for index in range(4000)]
    for name in names:
        found.workload(("ns", name), workload(name))
    admitted = []
    while heads := found.heads():
        ((cluster, each),) = heads
        if len(cluster.taken.reserving) == 4:
            oldest = min(cluster.taken.reserving)
            cluster.pending.requeue(each)
            found.workload(oldest, None)
            continue
        admitted.append(each.key[1])
        found.workload(each.key, workload(each.key[1], admitted="cq"))
        cluster.pending.admitted(each)
    assert admitted == names
