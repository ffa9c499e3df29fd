"""Node pools and operations in words, and their views as text and HTML."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
import yaml

from gke_notebook import names
from gke_notebook.catalog.quota_metrics import QuotaMetric
from gke_notebook.insight.node_pools import NodePool, PoolJob, jobs_on, lease_of, observe, provisioning_of
from gke_notebook.insight.operations import OperationState, Stage, observe_operation
from gke_notebook.insight.pool_story import (
    autoscaler_sentences,
    event_sentences,
    lease_warnings,
    pool_sentences,
    pools_of_nodes,
    quota_sentences,
)
from gke_notebook.insight.quota import CloudQuota
from gke_notebook.objects import Metadata, Node, OwnerReference, Pod, PodSpec, PodStatus
from gke_notebook.request.node_pool import Place, build_node_pool
from gke_notebook.session.node_pools import NodePoolPlan
from gke_notebook.session.pool_changes import differences
from gke_notebook.widgets.node_pools import COLUMNS, plan_view, pools_view, records, story_view
from gke_notebook.widgets.operation_card import OperationCard, operation_view
from gke_notebook.widgets.tables import connected_view, status_view
from tests.support.fake_session import FakeStatus

NOW = 1_795_000_000.0
AT = datetime.fromtimestamp(NOW, timezone.utc)
MINE = NodePool(
    "mine", "g2-standard-4", "1 x l4", "spot", ("us-central1-a",), 2, 1, True, 0, 4, usd_hour_each=0.4,
    price_basis="g2-standard-4, spot", lease_until=NOW + 7200, owner="ada", digest="d",
    jobs=(PoolJob("digits", "vision", "bob", 2),),
)  # fmt: skip


def raw(**more: Any) -> dict[str, Any]:
    config = {
        "machineType": "g2-standard-24",
        "accelerators": [{"acceleratorType": "nvidia-l4", "acceleratorCount": "2"}],
    }
    return {
        "name": "l4",
        "status": "RUNNING",
        "locations": ["us-central1-a"],
        "config": {**config, **more.pop("config", {})},
        **more,
    }


def node(name: str = "n1", pool: str = "l4", **labels: str) -> Node:
    return Node(metadata=Metadata(name=name, labels={"cloud.google.com/gke-nodepool": pool, **labels}))


def pod(job: str = "digits", on: str = "n1", phase: str = "Running", kind: str = "", **labels: str) -> Pod:
    owners = (OwnerReference(kind=kind, name=f"of-{kind}"),) if kind else ()
    given = {"gke-notebook.dev/job": job, **labels} if job else dict(labels)
    meta = Metadata(name=f"{job}-0", namespace="vision", labels=given, owner_references=owners)
    return Pod(metadata=meta, spec=PodSpec(node_name=on), status=PodStatus(phase=phase))


def test_a_pool_is_seen_with_its_size_price_and_limits() -> None:
    pool = observe(
        raw(
            autoscaling={"enabled": True, "minNodeCount": 1, "maxNodeCount": 3},
            locations=["us-central1-a", "us-central1-b"],
        ),
        {"us-central1-a": 2, "us-central1-b": 1},
    )
    assert (pool.size, pool.ready, pool.least, pool.most) == (3, None, 2, 6)
    assert pool.accelerator == "2 x l4"
    assert pool.usd_hour == pytest.approx(3 * 2.00083, abs=1e-4)
    assert replace(pool, size=0).usd_hour == 0.0


@pytest.mark.parametrize(
    ("config", "how"),
    [
        ({}, "on-demand"),
        ({"spot": True}, "spot"),
        ({"preemptible": True}, "spot"),
        ({"flexStart": True}, "flex-start"),
        ({"reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION"}}, "reservation"),
        ({"reservationAffinity": {"consumeReservationType": "NO_RESERVATION"}}, "on-demand"),
    ],
)
def test_how_nodes_are_had_is_read_off(config: dict, how: str) -> None:
    assert provisioning_of(config) == how


def test_a_slice_and_a_machine_that_nobody_knows() -> None:
    tpu = observe({
        "name": "t", "locations": ["us-central1-a"], "config": {"machineType": "ct5lp-hightpu-4t"},
        "placementPolicy": {"type": "COMPACT", "tpuTopology": "4x4"},
    })  # fmt: skip
    assert (tpu.accelerator, tpu.hosts) == ("4 x v5e, one 4x4 slice", 4)
    strange = observe(raw(config={"machineType": "z9-mega-1", "accelerators": []}))
    assert (strange.usd_hour_each, strange.price_basis) == (None, "no price of z9-mega-1 is known")


def test_the_later_lease_counts_and_nonsense_is_none() -> None:
    both = {"labels": {names.LEASE: "200"}, "resourceLabels": {names.RESOURCE_LEASE: "100"}}
    assert lease_of({"config": both}) == 200.0
    assert lease_of({"config": {"labels": {names.LEASE: "soon"}}}) is None
    assert lease_of({}) is None


def test_jobs_are_those_with_pods_that_have_not_ended() -> None:
    pods = [
        pod("digits", owner="x"), pod("digits"), pod("ended", phase="Succeeded"), pod("elsewhere", on="n9"),
        pod("", kind="DaemonSet"), pod("", kind="ReplicaSet"), pod("", kind="Job"),
    ]  # fmt: skip
    assert [(job.name, job.pods) for job in jobs_on([node()], pods)] == [("digits", 2), ("of-Job", 1)]


def test_conditions_are_said_in_words() -> None:
    pool = observe(raw(status="RUNNING_WITH_ERROR", conditions=[{"code": "GCE_STOCKOUT", "message": "no\nmachines"}]))
    assert pool.status == "running, with an error"
    assert pool.conditions == ("no capacity: no machines",)


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (MINE, ""),
        (replace(MINE, lease_until=NOW - 90), "its lease is over since 1 min 30 s"),
        (replace(MINE, jobs=()), "no job has a pod on its 2 nodes"),
        (replace(MINE, jobs=(), size=0), ""),
        (replace(MINE, jobs=(), accelerator="", digest="", lease_until=None), ""),
    ],
)
def test_orphans(pool: NodePool, why: str) -> None:
    assert pool.orphaned(NOW) == why


def test_the_table_says_it_loudly() -> None:
    over = replace(MINE, name="over", lease_until=NOW - 60, status="in error", conditions=("no capacity: <b>",))
    view = pools_view([MINE, over, replace(MINE, name="soon", lease_until=NOW + 60)], now=NOW, where="p/l/c")
    assert "3 pools of p/l/c, 2.40 USD/h now by list price" in view.text
    assert "1 of 2 ready (0 to 4)" in view.text
    assert (
        "the lease of node pool over is over since 1 min and costs 0.80 USD/h: %gke_nodepool extend over" in view.text
    )
    assert "the lease of node pool soon ends in 1 min; it costs 0.80 USD/h" in view.text
    assert "OVER since 1 min" in view.text
    assert "<b>" not in view.html
    assert "&lt;b&gt;" in view.html


def test_the_frame_has_every_column_and_numbers() -> None:
    [row] = records([replace(MINE, usd_hour_each=None)], NOW)
    assert tuple(row) == COLUMNS
    assert row["usd_hour"] != row["usd_hour"]  # NaN, so that the column is one of numbers
    assert row["lease_left_hours"] == 2.0


def test_the_plan_shows_exactly_the_request() -> None:
    from gke_notebook.manifests.node_pool import create_request

    spec = build_node_pool("mine", Place("us-central1"), owner="ada", now=NOW, gpu="l4", max_nodes=3)
    plan = NodePoolPlan(spec, create_request(spec), None, 0.7, "by list")
    view = plan_view(plan, dry_run=True)
    shown = view.text.split("CreateNodePool\n")[1]
    assert yaml.safe_load(shown) == plan.request
    assert "0.00 USD/h at first, at most 2.10 USD/h" in view.text
    assert "CreateNodePool" not in plan_view(plan).text


def test_the_story_is_escaped_and_complete() -> None:
    told = list(pool_sentences(replace(MINE, conditions=("<script>",), size=4), [], NOW))
    assert any("resize mine --max 8 lets it grow" in one for one in told)
    assert "jobs: digits (of bob, 2 pods)" in told
    view = story_view("mine", told)
    assert "<script>" not in view.html
    assert "error: <script>" in view.text


def test_quota_is_told_in_nodes() -> None:
    quotas = [
        CloudQuota(QuotaMetric("NVIDIA_L4_GPUS"), "us-central1", 16, 11),
        CloudQuota(QuotaMetric("NVIDIA_L4_GPUS"), "us-east1", 1, 1),
        CloudQuota(QuotaMetric("GPUS_ALL_REGIONS"), "", 32),
        CloudQuota(QuotaMetric("PREEMPTIBLE_NVIDIA_L4_GPUS"), "us-central1", 8, 8),
    ]
    pool = observe(raw())
    assert list(quota_sentences(pool, quotas, "us-central1")) == [
        "quota: NVIDIA_L4_GPUS, 11 of 16 used: enough for 2 more nodes",
        "quota: GPUS_ALL_REGIONS, 32 at most",
    ]
    [spot] = quota_sentences(observe(raw(config={"spot": True})), quotas[3:], "us-central1")
    assert spot == "quota: PREEMPTIBLE_NVIDIA_L4_GPUS, 8 of 8 used: enough for no more nodes"
    [reserved] = quota_sentences(replace(pool, provisioning="reservation"), quotas, "us-central1")
    assert "the reservation" in reserved


def test_the_autoscaler_is_quoted() -> None:
    status = yaml.safe_dump({"nodeGroups": [
        {"name": "https://x/instanceGroups/gke-mine-grp",
         "scaleUp": {"status": "Backoff", "backoffInfo": {"errorCode": "QUOTA", "errorMessage": "none left"}},
         "scaleDown": {"status": "NoCandidates"}},
        {"name": "https://x/instanceGroups/other"},
    ]})  # fmt: skip
    [said] = autoscaler_sentences(status, ["gke-mine-grp"])
    assert said == (
        "autoscaler: scale-up Backoff, it waits before it tries again: QUOTA none left; scale-down NoCandidates"
    )
    assert list(autoscaler_sentences("{", [])) == ["autoscaler: its status cannot be read"]
    assert list(autoscaler_sentences("a: b", ["x"])) == ["autoscaler: it does not know this pool yet"]


def test_events_of_other_pools_are_left_out() -> None:
    def event(reason: str, message: str, at: str) -> dict[str, Any]:
        return {"reason": reason, "message": message, "lastTimestamp": at, "involvedObject": {"name": "digits-0"}}

    events = [
        event("TriggeredScaleUp", "pod triggered scale-up: [{gke-mine-grp 0->1}]", "1"),
        event("TriggeredScaleUp", "pod triggered scale-up: [{gke-other-grp 0->1}]", "2"),
        event("NotTriggerScaleUp", "no fit", "3"),
        event("Scheduled", "gke-mine-grp", "4"),
    ]
    assert [one.split(" for ")[0] for one in event_sentences(events, "mine", ["gke-mine-grp"])] == [
        "event: NotTriggerScaleUp", "event: TriggeredScaleUp",
    ]  # fmt: skip


def test_leases_are_read_off_nodes_alone() -> None:
    leased = {
        names.LEASE: str(int(NOW - 60)), "node.kubernetes.io/instance-type": "g2-standard-4",
        "topology.kubernetes.io/zone": "us-central1-a", "cloud.google.com/gke-provisioning": "spot",
    }  # fmt: skip
    pools = pools_of_nodes([node("a", "mine", **leased), node("b", "mine", **leased), node("c", "other")])
    [said] = lease_warnings(pools, NOW, 3600)
    assert said.startswith("the lease of node pool mine is over since 1 min and costs 0.79 USD/h")


def test_the_connection_says_which_leases_are_over() -> None:
    status = FakeStatus(leases=("the lease of <mine> is over",))
    for view in (status_view(status), connected_view(status)):
        assert view.text.endswith("the lease of <mine> is over")
        assert "the lease of &lt;mine&gt; is over" in view.html


def operation(**more: Any) -> dict[str, Any]:
    return {
        "name": "operation-1", "operationType": "CREATE_NODE_POOL", "status": "RUNNING",
        "targetLink": "https://x/clusters/c/nodePools/mine", "startTime": "2026-11-25T01:00:00.123456789Z",
        "progress": {
            "metrics": [{"name": "nodes total", "intValue": "4"}, {"name": "nodes done", "intValue": "2"}],
            "stages": [
                {"name": "Groups", "status": "DONE"}, {"name": "Nodes", "status": "RUNNING"}, {"name": "Checks"},
            ],
        },
        **more,
    }  # fmt: skip


def test_an_operation_has_a_share_a_sentence_and_a_time() -> None:
    state = observe_operation(operation())
    assert state.fraction == pytest.approx((1 + 0.5) / 3)
    assert state.sentence == "creating node pool mine: Nodes, 2 of 4 nodes"
    assert state.started == datetime(2026, 11, 25, 1, 0, 0, 123456, tzinfo=timezone.utc)
    failed = observe_operation(operation(status="DONE", error={"code": 8, "message": "[GCE_STOCKOUT]: none"}))
    assert failed.done
    assert "failed: [GCE_STOCKOUT]" in failed.sentence
    assert "%gke_accelerators" in failed.advice
    assert observe_operation({}).fraction == 0.0


def test_the_card_shows_a_bar_with_the_stages() -> None:
    state = replace(observe_operation(operation()), detail="<i>")
    view = operation_view(state, now=datetime(2026, 11, 25, 1, 1, tzinfo=timezone.utc), note="a note", hint="a hint")
    assert "[###############...............] 50 %" in view.text
    assert "Groups (done) | Nodes (running) | Checks (pending)" in view.text
    assert 'role="progressbar"' in view.html
    assert "50%" in view.html
    assert "<i>" not in view.html
    assert view.text.endswith("a note\n  a hint")


def test_a_terminal_gets_a_line_for_each_change_and_the_card_at_the_end() -> None:
    lines: list[str] = []
    card = OperationCard(notebook=False, write=lines.append)
    running = OperationState("o", "mine", "creating", "running", (Stage("Nodes", "running"),), detail="Nodes")
    for state in (running, running, replace(running, nodes_done=1, nodes_total=2), replace(running, status="done")):
        card.paint(state)
    assert lines[0] == "creating node pool mine: Nodes"
    assert lines[1].endswith("1 of 2 nodes")
    assert len(lines) == 3
    assert lines[2].startswith("NODE POOL mine  creating: done")


def test_differences_leave_out_leases_and_what_is_off_by_default() -> None:
    def config(digest: str, lease: str, **more: Any) -> dict[str, Any]:
        labels = {"resourceLabels": {names.RESOURCE_DIGEST: digest}, "labels": {names.LEASE: lease}}
        return {"config": {**labels, **more}}

    wanted = config("a", "1", gvnic={"enabled": False}, diskSizeGb=100, zones=["a", "b"])
    found = config("b", "2", diskSizeGb="100", zones=["a"])
    assert differences(wanted, found) == ["config.zones: asked for a, b, there is a"]
