"""A session and jobs in this process, with the interface of the real ones; a script says what happens to a job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from gke_notebook import insight
from gke_notebook.errors import InvalidInput, JobFailed, StillRunning, nearest
from gke_notebook.insight.state import Failure, JobState, NodeState, Span
from gke_notebook.objects import LogLine
from gke_notebook.session.plan import Plan, Price
from gke_notebook.specs import Program, ShippedName, TrainSpec

CREATED = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)


def job_state(name: str = "digits", phase: str = "running", *, nodes: int = 2, procs: int = 1, **more: Any) -> JobState:
    """A plausible state of a job in a phase."""
    node_phase = {"queued": "waiting", "succeeded": "succeeded", "failed": "failed"}.get(phase, phase)
    order = ["queued", "starting", "running"]
    reached = order.index(phase) if phase in order else 2
    fields: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "run": "r1",
        "owner": "ada",
        "phase": phase,
        "sentence": f"{phase} on {nodes} nodes",
        "spans": tuple(Span(one, 2.0 + index) for index, one in enumerate(order[: reached + 1])),
        "nodes": tuple(
            NodeState(
                index=index,
                ranks=tuple(range(index * procs, (index + 1) * procs)),
                phase=node_phase,  # type: ignore[arg-type]
                pod=f"{name}-{index}-x7k2p",
                node=f"gke-sandbox-l4-pool-{index}",
                exit_code={"succeeded": 0, "failed": 1}.get(phase),
            )
            for index in range(nodes)
        ),
        "procs_per_node": procs,
        "framework": "jax",
        "created": CREATED,
        "price_usd_hour": 4.0,
        "simulated": True,
    }
    if phase == "failed":
        fields["failure"] = Failure(
            rank=1,
            pod=f"{name}-1-x7k2p",
            exit_code=1,
            reason="exit code 1",
            message="ValueError: loss is not finite",
            traceback='Traceback (most recent call last):\n  File "<cell>", line 7, in <module>\n    check(loss)\n'
            "ValueError: loss is not finite",
            others=1,
        )
    return JobState(**{**fields, **more})


def line(rank: int, text: str, *, procs: int = 1, attempt: int = 0, second: int = 0) -> LogLine:
    """One log line."""
    time = CREATED + timedelta(seconds=second)
    return LogLine(time, rank // procs, rank, f"digits-{rank // procs}-x7k2p", attempt, text)


@dataclass
class Step:
    """What the job is like from some moment on."""

    state: JobState
    lines: Sequence[LogLine] = ()


class FakeJob:
    """A job that goes through steps, one every `pace` seconds once somebody looks at it."""

    def __init__(
        self, steps: Sequence[Step], *, pace: float = 0.01, result: Any = None, output: Mapping[str, Path] | None = None
    ) -> None:
        self._steps = list(steps)
        self._at = 0
        self._pace = pace
        self._callbacks: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._go_on = threading.Event()
        self._go_on.set()
        self.result = result
        self.output = dict(output or {})
        self.name = steps[0].state.name
        self.namespace = steps[0].state.namespace
        self.cancelled = False
        self.trouble = ""

    def hold(self) -> None:
        """Stay at the step that is reached."""
        self._go_on.clear()

    def release(self) -> None:
        """Go on with the steps."""
        self._go_on.set()

    @property
    def state(self) -> JobState:
        return self._steps[self._at].state

    @property
    def phase(self) -> str:
        return self.state.phase

    def _play(self) -> None:
        pause = threading.Event()
        while self._at < len(self._steps) - 1:
            pause.wait(self._pace)
            self._go_on.wait()
            if self._at < len(self._steps) - 1:
                self._at += 1
            for callback in list(self._callbacks):
                callback()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        if self._thread is None:
            self._thread = threading.Thread(target=self._play, daemon=True)
            self._thread.start()
        return lambda: self._callbacks.remove(callback)

    def tail(self, n: int = 200) -> tuple[LogLine, ...]:
        return tuple(found for step in self._steps[: self._at + 1] for found in step.lines)[-n:]

    def logs(self, rank: int | None = None, tail: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        lines = [one for step in self._steps for one in step.lines if rank is None or one.rank == rank]
        yield from lines if tail is None else lines[-tail:]

    def wait(self, timeout: float | None = None) -> JobState:
        if not self.state.ended:
            raise StillRunning(f"job {self.name!r} is still {self.phase}")
        if self.state.phase != "succeeded":
            raise JobFailed(insight.failure_text(self.state), self.name)
        return self.state

    def cancel(self) -> None:
        self.cancelled = True
        self._steps = [*self._steps[: self._at + 1], Step(replace(self.state, phase="cancelled", sentence="cancelled"))]
        self._at = len(self._steps) - 1
        for callback in list(self._callbacks):
            callback()

    def manifests(self) -> list[dict[str, Any]]:
        return []

    def explain(self) -> str:
        return self.state.sentence


@dataclass
class FakeStatus:
    """What the session tells of itself."""

    context: str = "sandbox"
    server: str = "https://127.0.0.1:6443"
    version: str = "v1.34.0"
    namespace: str = "default"
    user: str = "ada"
    nodes: tuple[int, int] | None = (9, 9)
    accelerators: Mapping[str, tuple[int, int]] = field(default_factory=lambda: {"nvidia-l4": (6, 8)})
    jobs: int = 1
    permissions: Mapping[str, bool] = field(default_factory=lambda: {"create jobs": True, "read nodes": False})
    leases: tuple[str, ...] = ()


class FakeSession:
    """A session whose jobs are made by `make`; what was asked of it is kept in `asked`."""

    context = "sandbox"
    namespace = "default"

    def __init__(self, make: Callable[[str], FakeJob] | None = None) -> None:
        self.made: dict[str, FakeJob] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.error: BaseException | None = None
        self._make = make or (lambda name: FakeJob([Step(job_state(name, "succeeded"))]))

    def plan(self, name: str, cell: str, **options: Any) -> Plan:
        self.asked.append(("plan", {"name": name, "cell": cell, **options}))
        if self.error is not None:
            raise self.error
        program = Program(cell="\n" + cell, names=(ShippedName("helper", "function", "def helper(): ..."),))
        spec = TrainSpec(
            name=name,
            program=program,
            namespace=options.get("namespace") or "default",
            run="r1",
            owner="ada",
            nodes=options.get("nodes", 1),
            framework=options.get("framework", "none"),
        )
        manifests = (
            {"kind": "ConfigMap", "metadata": {"name": name}, "data": {"cell.py": cell}},
            {"kind": "Service", "metadata": {"name": name}, "spec": {"clusterIP": "None"}},
            {
                "kind": "Job",
                "metadata": {"name": name},
                "spec": {"completionMode": "Indexed", "completions": spec.nodes},
            },
        )
        price = Price(1.0, "1 x g2-standard-8, on demand", simulated=True)
        return Plan(spec, manifests, context="sandbox", placement="1 node, 1 rank", price=price, notes=("a note",))

    def check(self, plan: Plan, *, replace: bool = False) -> None:
        self.asked.append(("check", {"replace": replace}))

    def apply(self, plan: Plan, *, replace: bool = False, queue_anyway: bool = False) -> FakeJob:
        self.asked.append(("apply", {"replace": replace, **({"queue_anyway": True} if queue_anyway else {})}))
        job = self._make(plan.spec.name)
        if plan.spec.name == "held":  # stays as it is until it is released, however slow the test is
            job.hold()
        self.made[plan.spec.name] = job
        return job

    def jobs(self, namespace: str | None = None, everyone: bool = False) -> list[FakeJob]:
        self.asked.append(("jobs", {"namespace": namespace, "everyone": everyone}))
        return list(self.made.values())

    def job(self, name: str, namespace: str | None = None) -> FakeJob:
        if name not in self.made:
            raise InvalidInput(f"no job {name!r}; {nearest(name, self.made)}")
        return self.made[name]

    def known_jobs(self) -> list[str]:
        return sorted(self.made)

    def status(self) -> FakeStatus:
        return FakeStatus()

    def close(self) -> None:
        pass


def install(session: FakeSession | None) -> None:
    """Make a fake session the current one."""
    from gke_notebook.session import current

    current._current = session  # type: ignore[assignment]
