"""Why a pod waits."""

from __future__ import annotations

import pytest

from gke_notebook import objects
from gke_notebook.insight.reasons import quantity, scheduling_sentence, why_waiting
from tests.support.observed import a_node, a_pod, an_event

GPU = "cloud.google.com/gke-accelerator"
L4 = {GPU: "nvidia-l4"}


@pytest.mark.parametrize(
    ("message", "selector", "said"),
    [
        (
            (
                "0/9 nodes are available: 3 Insufficient nvidia.com/gpu, 5 node(s) didn't match Pod's node "
                "affinity/selector, 1 node(s) had untolerated taint {nvidia.com/gpu: present}. preemption: 0/9 nodes "
                "are available: 3 No preemption victims found for incoming pod, 6 Preemption is not helpful."
            ),
            L4,
            (
                "no node is free for it: of 9 nodes 3 have too few free GPUs, 5 are of another kind "
                "(not gke-accelerator=nvidia-l4), 1 is tainted (nvidia.com/gpu)"
            ),
        ),
        (
            (
                "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are "
                "available: 2 No preemption victims found for incoming pod."
            ),
            {},
            "no node is free for it: of 2 nodes 2 have too few free CPUs",
        ),
        (
            "0/1 nodes are available: 1 Insufficient memory.",
            {},
            "no node is free for it: of 1 node 1 has too little free memory",
        ),
        (
            (
                "0/3 nodes are available: 1 node(s) didn't match pod affinity rules, 2 node(s) didn't match pod "
                "anti-affinity rules. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
            ),
            {},
            (
                "no node is free for it: of 3 nodes 1 is not where the rest of its slice is, "
                "2 are kept for other slices or jobs"
            ),
        ),
        (
            "0/2 nodes are available: 2 node(s) were unschedulable.",
            {},
            "no node is free for it: of 2 nodes 2 are cordoned",
        ),
        (
            "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
            {},
            "no node is free for it: of 2 nodes 2: node(s) had volume node affinity conflict",
        ),
        ("no nodes available to schedule pods", {}, "no nodes available to schedule pods"),
        ("0/3 nodes are available: .", {}, "0/3 nodes are available: ."),
    ],
)
def test_the_schedulers_texts(message: str, selector: dict[str, str], said: str) -> None:
    assert scheduling_sentence(message, selector) == said


def why(pod: objects.Pod, *events: objects.Event, nodes: list[objects.Node] | None = None) -> str:
    return why_waiting(pod, events, nodes or [])[1]


FULL = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


def test_a_label_that_no_node_has_is_named_with_those_there_are() -> None:
    nodes = [a_node("a", **{GPU: "nvidia-tesla-t4"}), a_node("b")]
    pod = a_pod(0, unschedulable=FULL, selector=L4)
    assert why(pod, nodes=nodes) == f"no node of the cluster has {GPU}=nvidia-l4 (it has nvidia-tesla-t4)"


def test_more_than_any_node_has_can_never_start() -> None:
    nodes = [a_node("a", {"nvidia.com/gpu": "2"}, **L4), a_node("b", {"nvidia.com/gpu": "8"})]
    pod = a_pod(0, unschedulable=FULL, selector=L4, limits={"nvidia.com/gpu": "4"})
    assert why(pod, nodes=nodes) == "it asks for 4 GPUs on one node, the largest such node has 2 GPUs"
    enough = a_pod(0, unschedulable=FULL, selector=L4, limits={"nvidia.com/gpu": "2"})
    assert why(enough, nodes=nodes).startswith("no node is free for it")


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (
            an_event("TriggeredScaleUp", "pod triggered scale-up: [{mig 0->1}]"),
            "the cluster autoscaler is adding a node",
        ),
        (
            an_event(
                "FailedScaleUp",
                "Node scale up in zones us-central1-a, us-central1-b associated with this pod failed: "
                "GCE out of resources. Pod is at risk of not being scheduled.",
            ),
            "adding a node failed: GCE out of resources in us-central1-a, us-central1-b",
        ),
        (
            an_event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached"),
            "the cluster autoscaler adds no node: 1 max node group size reached",
        ),
    ],
)
def test_what_the_autoscaler_does_follows(event: objects.Event, end: str) -> None:
    said = why(a_pod(0, unschedulable=FULL), event)
    assert said == f"no node is free for it: of 2 nodes 2 have too few free GPUs; {end}"


def test_the_newest_word_of_the_autoscaler_counts() -> None:
    failed = an_event("FailedScaleUp", "x", second=5)
    retried = an_event("TriggeredScaleUp", "", second=9)
    assert why(a_pod(0, unschedulable=FULL), retried, failed).endswith("is adding a node")


def test_the_event_is_used_when_the_condition_is_not_there_yet() -> None:
    assert why(a_pod(0), an_event("FailedScheduling", FULL)).startswith("no node is free for it: of 2 nodes")
    assert why(a_pod(0)) == "the scheduler has not placed it yet"


@pytest.mark.parametrize(
    ("waiting", "events", "reason", "said"),
    [
        (
            ("ImagePullBackOff", 'Back-off pulling image "pytorch:2"'),
            [an_event("Failed", 'Failed to pull image "pytorch:2": not found')],
            "ImagePullBackOff",
            "the image 'pytorch:2' cannot be pulled: Failed to pull image \"pytorch:2\": not found",
        ),
        (("InvalidImageName", "bad"), [], "InvalidImageName", "the image 'pytorch:2' cannot be pulled: bad"),
        (
            ("CreateContainerConfigError", 'configmap "digits" not found'),
            [],
            "CreateContainerConfigError",
            'its container cannot be created: configmap "digits" not found',
        ),
        (
            ("ContainerCreating", ""),
            [an_event("FailedMount", 'MountVolume.SetUp failed: secret "s"\nnot found')],
            "FailedMount",
            'a volume cannot be mounted: MountVolume.SetUp failed: secret "s" not found',
        ),
        (
            ("ContainerCreating", ""),
            [an_event("FailedMount", "x", second=3), an_event("Pulling", "Pulling image", second=8)],
            "",
            "the image 'pytorch:2' is being pulled",
        ),
        (
            ("CrashLoopBackOff", "back-off 10s"),
            [],
            "CrashLoopBackOff",
            "its container keeps failing and is started again after a pause",
        ),
        (("PodInitializing", ""), [], "", "its container is being created"),
    ],
)
def test_what_the_kubelet_says(waiting: tuple[str, str], events: list[objects.Event], reason: str, said: str) -> None:
    assert why_waiting(a_pod(0, node="n", waiting=waiting), events, []) == (reason, said)


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", 4), (4, 4), ("250m", 0.25), ("1Gi", 2**30), ("1.5G", 1.5e9), ("1e3", 1000), ("lots", 0), ("3Xi", 0)],
)
def test_quantities(text: str | int, value: float) -> None:
    assert quantity(text) == value
