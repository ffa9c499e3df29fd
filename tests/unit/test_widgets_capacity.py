"""The views of fit, quota, ladders and what-if: what they say, and that nothing of a cluster's becomes HTML."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from gke_notebook.insight.quota import Limit
from gke_notebook.insight.rungs import Ladder, Rung
from gke_notebook.insight.state import JobState
from gke_notebook.insight.world import Fit
from gke_notebook.session.plan import Plan, Price
from gke_notebook.session.quota import Quota
from gke_notebook.session.what_if import Choice
from gke_notebook.specs import Program, TrainSpec
from gke_notebook.widgets.job_card import job_view
from gke_notebook.widgets.plan_card import plan_view
from gke_notebook.widgets.quota import COLUMNS, quota_view, records
from gke_notebook.widgets.what_if import COLUMNS as WHAT_IF_COLUMNS
from gke_notebook.widgets.what_if import records as what_if_records
from gke_notebook.widgets.what_if import what_if_view

EVIL = "<script>alert(1)</script>"
CANNOT = Fit("cannot fit", f"no room {EVIL}", "quota L4", "ask ada", f"%gke_nodepool resize {EVIL}")
SPEC = TrainSpec("digits", Program("print(1)"), "default", "r1", "ada", max_duration=3600)
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


def test_the_plan_says_what_binds_and_whom_to_ask() -> None:
    view = plan_view(Plan(SPEC, (), fit=CANNOT))
    assert f"fit: cannot fit: no room {EVIL}" in view.text
    assert "ask ada" in view.text
    assert EVIL not in view.html
    assert 'class="gke-bad"' in view.html
    assert "fit:" not in plan_view(Plan(SPEC, ())).text


def test_the_plan_shows_every_rung_and_the_dearest_cap() -> None:
    rungs = (Rung("spot:l4", 60, usd_hour=0.4), Rung("l4", usd_hour=0.7))
    plan = Plan(
        SPEC, (), price=Price(0.4, "x"), fit=Fit("fits", "now"), ladder=Ladder(rungs), fits=(Fit("fits", "a"), CANNOT)
    )
    assert plan.max_cost() == 0.7
    text = plan_view(plan).text
    assert "ladder: 1. spot:l4, 0.40 USD per hour, for 1 min; fits: a" in text
    assert "2. l4, 0.70 USD per hour, waits as long as the job may; cannot fit: no room" in text
    unknown = replace(plan, ladder=Ladder((rungs[0], replace(rungs[1], usd_hour=None))))
    assert unknown.max_cost() is None


def test_the_card_of_a_job_shows_its_ladder() -> None:
    ladder = Ladder((Rung("spot:l4"), Rung("l4"), Rung("t4")), 1, NOW, (("spot:l4", f"stockout {EVIL}"),))
    view = job_view(JobState("digits", "default", ladder=ladder))
    assert f"ladder: spot:l4: stockout {EVIL}" in view.text
    assert "ladder: l4 (2 of 3): t4 comes next" in view.text
    assert EVIL not in view.html
    assert "ladder" not in job_view(JobState("digits", "default")).text


def test_the_table_of_quotas() -> None:
    limits = (
        Limit(
            "namespace", f"team: requests.memory{EVIL}", "default", 4 * 2.0**30, 2.0**30, 8 * 2.0**30, "requests.memory"
        ),
        Limit("cloud", "NVIDIA_L4_GPUS", "us-central1", 20, 4, 2),
        Limit("cloud", "GPUS_PER_GPU_FAMILY (NVIDIA_H200)", "us-central1", 8, 0, note="used: at least"),
        Limit("queue", "q: cpu", "ClusterQueue all", None, 3),
    )
    alone = quota_view(Quota(limits, "default", "us-central1"))
    assert "at least 0" in alone.text
    assert "the job takes" not in alone.text
    with_job = quota_view(Quota(limits, "default", job="2 x 1 GPU", fit=CANNOT, notes=("something was not seen",)))
    assert "8 GiB, too much" in with_job.text
    assert "H200" not in with_job.text, "what it does not take from is left out"
    assert "note: something was not seen" in with_job.text
    assert EVIL not in with_job.html + alone.html
    rows = list(records(Quota(limits, "default")))
    assert set(rows[0]) == set(COLUMNS)
    assert [row["binds"] for row in rows] == [True, False, False, False]
    assert quota_view(Quota((), "default")).text.endswith("nothing is limited that you may see")


def test_the_table_of_what_if() -> None:
    rows = [
        Choice("--gpu l4:1", True, "g2-standard-4", 2, usd_hour=1.4, most=0.7, wait="starts at once", wait_seconds=0.0,
               fit=Fit("fits", "l4-pool has room"), risk="none", seconds=1800),
        Choice("--gpu t4:1", fit=CANNOT, wait="does not start as things are"),
        Choice("--gpu v100:1", why_not=f"not here {EVIL}"),
    ]  # fmt: skip
    view = what_if_view("digits", rows)
    assert "--gpu l4:1 (asked)  2 x g2-standard-4  1.40   0.70     fits" in view.text
    assert "stopped after 30 min" in view.text
    assert "cannot be had" in view.text
    assert EVIL not in view.html
    found = list(what_if_records(rows))
    assert set(found[0]) == set(WHAT_IF_COLUMNS)
    assert [row["verdict"] for row in found] == ["fits", "cannot fit", "cannot be had"]
