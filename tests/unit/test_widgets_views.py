"""The views: nothing foreign becomes HTML, and both forms say the same."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_notebook.insight import Failure, JobState, Lane, NodeState, Span, fold
from gke_notebook.session.plan import Plan, Price
from gke_notebook.specs import Program, ShippedFile, ShippedName, TrainSpec
from gke_notebook.widgets.job_card import Returned, cost, job_view
from gke_notebook.widgets.plan_card import plan_view, ships
from gke_notebook.widgets.summary import LIMIT, summarise
from gke_notebook.widgets.tables import connected_view, jobs_view, status_view
from gke_notebook.widgets.view import View, clean, tag
from tests.support.fake_session import CREATED, FakeStatus, job_state, line
from tests.support.markup import text_of

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><svg/onload=alert(1)>",
    "</pre></div><iframe src=javascript:alert(1)>",
    "<!-- -->",
    "&lt;b&gt; &amp; &#x3c;",
    "\x1b]0;title\x07\x1b[31m<b>red</b>\x1b[0m\x00",
]


def with_text(state: JobState, text: str) -> JobState:
    """The state with every text in it replaced."""
    node = replace(state.nodes[0], pod=text, node=text, reason=text, message=text, termination=text, phase="failed")
    kept = {"phase", "framework"}
    texts = {f.name: text for f in fields(state) if f.type == "str" and f.name not in kept}
    failure = Failure(0, text, None, text, text, text, 3)
    return replace(state, nodes=(node, *state.nodes[1:]), failure=failure, **texts)  # type: ignore[arg-type]


def same_content(view: View) -> None:
    """Every word of the text is in the HTML, in the same number at least once."""
    html = text_of(view.html)
    words = set(re.findall(r"[^\s|:]+", view.text))
    missing = {word for word in words if word not in html}
    assert not missing, missing


def evil_plan(text: str) -> Plan:
    program = Program(
        cell=text,
        names=(ShippedName(text, "function", text), ShippedName(text, "value", text)),
        files=(ShippedFile(text, b"x"),),
        requirements=(text,),
    )
    spec = TrainSpec(
        name=text, program=program, namespace=text, run="r", owner=text, image=text, env=((text, text),), nodes=2,
        max_duration=600, max_retries=1,
    )  # fmt: skip
    manifests = (
        {"kind": text, "metadata": {"name": text}},
        {"kind": "ConfigMap", "metadata": {"name": text}, "data": {text: text}},
    )
    return Plan(spec, manifests, context=text, placement=text, price=Price(2.0, text, simulated=True), notes=(text,))


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_foreign_becomes_an_element(evil: str) -> None:
    state = with_text(job_state(nodes=2), evil)
    many = with_text(job_state(nodes=40), evil)
    lanes = fold([line(0, evil), line(1, evil + "1")], range(2))
    returned = Returned(evil, ((evil, 3),), evil, (evil,))
    views = [
        job_view(state, lanes, returned, notes=(evil,)),
        job_view(many, lanes),
        plan_view(evil_plan(evil), dry_run=True),
        jobs_view([state], now=CREATED),
        jobs_view([], where=evil),
        status_view(FakeStatus(evil, evil, evil, evil, evil, (1, 2), {evil: (1, 2)}, 1, {evil: True})),
        connected_view(FakeStatus(evil, evil, evil, evil, evil, None, {}, 1, {evil: False})),
    ]
    for view in views:
        text = text_of(view.html)  # asserts on elements and attributes
        assert " ".join(clean(evil).split())[:8] in text
        assert "\x1b" not in view.text
        assert "\x1b" not in view.html
        assert "\x00" not in view.html


@given(st.text(max_size=40))
@settings(deadline=None, max_examples=80)
def test_any_text_is_safe_in_a_card(text: str) -> None:
    text_of(job_view(with_text(job_state(), text), (Lane((0,), (text,)),), Returned(text)).html)
    text_of(plan_view(evil_plan(text)).html)


@pytest.mark.parametrize("phase", ["queued", "starting", "running", "succeeded", "failed", "cancelled", "deleted"])
@pytest.mark.parametrize("nodes", [1, 2, 200])
def test_text_and_html_of_a_job_say_the_same(phase: str, nodes: int) -> None:
    node_phase = {"cancelled": "failed", "deleted": "running"}.get(phase)
    state = job_state(phase=phase, nodes=nodes)
    if node_phase:
        state = replace(state, nodes=tuple(replace(node, phase=node_phase) for node in state.nodes))
    lanes = fold([line(rank, text) for text in ("loss 2.3", "loss 1.1") for rank in range(nodes)], range(nodes))
    view = job_view(state, lanes, Returned("{'a': 1}", (("model.npz", 2048),), "digits"), notes=("a note",))
    html = text_of(view.html)
    for said in ("loss 2.3", "digits.result", "{'a': 1}", "model.npz (2.0 kB)", "a note", "queued 2 s", state.phase):
        assert said in view.text or (said == state.phase and not state.ended)
        assert said in html
    if state.failure is None:
        assert state.sentence in view.text
        assert state.sentence in html
    else:
        for said in (
            "rank 1 failed with exit code 1: ValueError",
            'File "<cell>", line 7',
            "1 other node failed after it",
        ):
            assert said in view.text
            assert said in html


def test_text_and_html_of_the_other_views_say_the_same() -> None:
    same_content(plan_view(evil_plan("word"), dry_run=True))
    same_content(jobs_view([job_state("a"), job_state("b", "failed")], now=CREATED + timedelta(seconds=90)))
    same_content(status_view(FakeStatus()))
    same_content(connected_view(FakeStatus()))


def test_two_hundred_nodes_stay_readable() -> None:
    nodes = list(job_state(nodes=200).nodes)
    nodes[7] = replace(nodes[7], phase="starting", reason="ImagePullBackOff")
    nodes[99] = replace(nodes[99], phase="failed", reason="OOMKilled", exit_code=137)
    view = job_view(replace(job_state(nodes=200), nodes=tuple(nodes)))
    assert len(view.text.splitlines()) < 10
    assert "node 99" in view.text
    assert "failed, OOMKilled, killed by signal 9 (SIGKILL)" in view.text
    assert "nodes 0-6, 8-98, 100-199  ranks 0-6, 8-98, 100-199  running" in view.text
    assert view.html.count("<i ") == 200
    assert len(view.html) < 40_000


def test_a_log_tail_in_text_is_bounded() -> None:
    lanes = fold([line(0, f"line {number}") for number in range(200)], range(1), lane_lines=60)
    text = job_view(job_state(nodes=1), lanes).text
    assert "line 199" in text
    assert "line 100" not in text
    assert "earlier log lines" in text


def test_skipped_lines_are_counted() -> None:
    view = job_view(job_state(), (Lane((0,), ("end",), skipped=7), Lane((1, 2), (), skipped=3)))
    for form in (view.text, text_of(view.html)):
        assert "... 7 earlier lines not shown" in form
        assert "... 3 lines not shown" in form


def test_cost_counts_from_when_nodes_were_held() -> None:
    state = job_state("digits", "running")  # queued 2 s, starting 3 s, running 4 s, 4 USD/hour
    assert cost(state) == pytest.approx(7 * 4 / 3600)
    assert cost(job_state("digits", "queued")) is None
    assert cost(replace(state, spans=(Span("total", 9),))) is None
    assert "simulated, nothing is billed" in job_view(state).text
    assert "simulated" not in job_view(replace(state, simulated=False)).text


def test_the_plan_names_objects_ranks_price_and_cap() -> None:
    text = plan_view(evil_plan("x"), dry_run=True).text
    assert "2 ranks = 2 nodes x 1 process" in text
    assert "price: 2.00 USD per hour (x) · simulated, nothing is billed" in text
    assert "at most: 0.33 USD by list price, stopped after 10 min" in text
    assert "ConfigMap" in text
    assert "dry run: nothing was created" in text
    assert "dry run" not in plan_view(evil_plan("x")).text
    unlimited = replace(evil_plan("x"), spec=replace(evil_plan("x").spec, max_duration=None), price=None)
    assert "price" not in plan_view(unlimited).text
    assert "no limit (--max-duration sets one)" in plan_view(unlimited).text


def test_the_values_of_the_environment_are_not_shown() -> None:
    plan = evil_plan("x")
    plan = replace(plan, spec=replace(plan.spec, env=(("TOKEN", "hunter2"),)))
    view = plan_view(plan)
    assert "TOKEN" in view.text
    assert "hunter2" not in view.text + view.html


def test_what_ships_has_sizes() -> None:
    program = Program(
        cell="# %%gke_train\nx = f()",
        names=(ShippedName("f", "function", "def f(): ..."), ShippedName("np", "import", "import numpy as np")),
        files=(ShippedFile("data.npz", b"0" * 2048),),
        requirements=("jax",),
    )
    assert ships(program) == [
        "the cell (1 line, 21 B)", "1 function: f (12 B)", "1 import: np", "1 file: data.npz (2.0 kB)",
        "requirements installed where missing: jax",
    ]  # fmt: skip


def test_jobs_are_listed_newest_first() -> None:
    states = [job_state("old", created=CREATED), job_state("new", created=CREATED + timedelta(seconds=60))]
    text = jobs_view(states, now=CREATED + timedelta(seconds=90)).text
    assert [row.split()[0] for row in text.splitlines()] == ["name", "new", "old"]
    assert "1 min 30 s" in text


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"accuracy": 0.5}, "{'accuracy': 0.5}"),
        (None, "None"),
        ("x" * 10_000, None),
        (list(range(10**6)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...]"),
        (Rude(), None),
    ],
)
def test_a_summary_is_short_whatever_the_value(value: Any, said: str | None) -> None:
    text = summarise(value)
    assert len(text) <= LIMIT
    assert said is None or text == said


def test_an_array_is_summarised_by_its_shape() -> None:
    numpy = pytest.importorskip("numpy")
    assert summarise(numpy.zeros((3, 4))) == "ndarray of shape (3, 4), float64"


def test_the_bundle_has_both_forms_and_heeds_the_filter() -> None:
    view = View("a", "<b>a</b>")
    assert view._repr_mimebundle_() == {"text/plain": "a", "text/html": "<b>a</b>"}
    assert view._repr_mimebundle_(include=["text/plain"]) == {"text/plain": "a"}
    assert view._repr_mimebundle_(exclude=["text/html"]) == {"text/plain": "a"}


def test_attributes_are_quoted() -> None:
    assert tag("i", title='"x"') == '<i title="&quot;x&quot;"></i>'


def test_the_style_is_self_contained_and_follows_the_theme() -> None:
    html = job_view(job_state()).html
    style = html[html.index("<style>") : html.index("</style>")]
    assert "--jp-content-font-color1" in style
    assert "prefers-color-scheme:dark" in style
    assert "url(" not in style
    assert "@import" not in style
    assert "<script" not in html
    # Every rule is about our own elements, so that the page around them stays as it is.
    selectors = re.findall(
        r"(?:^|\})([^{}@]+)\{", style.removeprefix("<style>").replace("@media (prefers-color-scheme:dark){", "}")
    )
    assert selectors
    ours = re.compile(r"(\.gke-nb){2,} |div\.gke-nb")
    assert all(ours.match(part) for group in selectors for part in group.split(","))


def test_a_node_row_names_what_is_wrong() -> None:
    waiting = NodeState(0, (0,), "starting", "pod-0", "n", reason="ImagePullBackOff")
    failed = NodeState(1, (1,), "failed", "pod-1", "n", attempt=1, exit_code=2)
    view = job_view(replace(job_state(), nodes=(waiting, failed)))
    for form in (view.text, text_of(view.html)):
        assert "starting, ImagePullBackOff" in form
        assert "failed, exit code 2, attempt 2" in form
