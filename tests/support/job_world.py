"""A Job and its pods in memory, changed as the server, the kubelet and the Job controller change them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from gke_notebook.sandbox.controllers.job import reconcile
from gke_notebook.sandbox.controllers.job_policy import Backoff
from gke_notebook.sandbox.controllers.job_status import settle
from gke_notebook.sandbox.controllers.meta import clone, timestamp

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=timezone.utc)
INDEX = "batch.kubernetes.io/job-completion-index"


def make_job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}}
    return {
        "metadata": {"name": "digits", "namespace": "research", "uid": "job-uid"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template, **spec},
    }


def indexed(count: int, **spec: Any) -> dict[str, Any]:
    return make_job(**{"completionMode": "Indexed", "completions": count, "parallelism": count, **spec})


class World:
    """A Job and its pods, changed as the server and the controller change them."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.pods = job, {}
        self.now, self.backoff, self.events, self.again, self.made = START, Backoff(), [], None, 0

    def sync(self) -> World:
        """Carry out one decision, then those that follow of themselves."""
        for _ in range(12):
            before = clone([self.job, self.pods])
            self._sync_once()
            if before == [self.job, self.pods]:
                return self
        raise AssertionError("never comes to rest")

    def _sync_once(self) -> None:
        snapshot = clone([self.job, list(self.pods.values())])
        actions = reconcile(self.job, list(self.pods.values()), self.now, self.backoff)
        assert snapshot == [self.job, list(self.pods.values())], "reconcile changed its arguments"
        self.again = actions.again
        for pod in actions.delete:
            if actions.delete_releases:
                self._release(pod)
            self.delete(pod["metadata"]["uid"])
        for pod in actions.create:
            self.made += 1
            made = clone(pod)
            made["metadata"].update(uid=f"pod-{self.made}", name=f"{pod['metadata']['generateName']}{self.made:05}")
            made["metadata"]["creationTimestamp"] = timestamp(self.now)
            made["status"] = {"phase": "Pending"}
            self.pods[made["metadata"]["uid"]] = made
        self.job = {**self.job, "status": actions.status}
        self.events += [(event.type, event.reason, event.message) for event in actions.events]
        self.backoff = actions.backoff
        for pod in actions.release:
            self._release(pod)
        left = actions.tracked - {pod["metadata"]["uid"] for pod in actions.release}
        status, events = settle(actions.status, actions.finished, left, self.job["spec"].get("completions"), self.now)
        self.job = {**self.job, "status": status}
        self.events += [(event.type, event.reason, event.message) for event in events]

    def _release(self, pod: dict[str, Any]) -> None:
        stored = self.pods.get(pod["metadata"]["uid"])
        if stored is not None:
            stored["metadata"]["finalizers"] = []
            if stored["metadata"].get("deletionTimestamp"):
                self._maybe_gone(stored)

    def delete(self, uid: str) -> None:
        pod = self.pods[uid]
        pod["metadata"]["deletionTimestamp"] = timestamp(self.now)
        self._maybe_gone(pod)

    def _maybe_gone(self, pod: dict[str, Any]) -> None:
        scheduled = pod["status"]["phase"] == "Running"  # a running pod stays until its kubelet lets go of it
        if not pod["metadata"]["finalizers"] and not scheduled:
            del self.pods[pod["metadata"]["uid"]]

    def stopped(self) -> World:
        """Let the kubelet end what is being deleted."""
        for pod in list(self.pods.values()):
            if pod["metadata"].get("deletionTimestamp"):
                if pod["status"]["phase"] == "Running":
                    pod["status"]["phase"] = "Failed"
                self._maybe_gone(pod)
        return self

    def of(self, index: int, phase: str = "Pending") -> dict[str, Any]:
        found = [p for p in self.pods.values() if index_of(p) == index and p["status"]["phase"] == phase]
        assert len(found) == 1, f"{len(found)} pods of index {index} are {phase}"
        return found[0]

    def set(self, pod: dict[str, Any], phase: str, *, code: int | None = None, ready: bool = False) -> World:
        status: dict[str, Any] = {"phase": phase}
        if code is not None:
            terminated = {"exitCode": code, "finishedAt": timestamp(self.now)}
            status["containerStatuses"] = [{"name": "main", "state": {"terminated": terminated}}]
        if ready:
            status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": timestamp(self.now)}]
        pod["status"] = status
        return self

    def end(self, index: int, code: int = 0) -> World:
        return self.set(self.of(index), "Failed" if code else "Succeeded", code=code)

    def wait(self, seconds: float) -> World:
        self.now += timedelta(seconds=seconds)
        return self

    @property
    def status(self) -> dict[str, Any]:
        return self.job["status"]

    def conditions(self) -> list[tuple[str, str, str]]:
        return [
            (c["type"], c["reason"], c["message"]) for c in self.status.get("conditions", []) if c["status"] == "True"
        ]


def index_of(pod: dict[str, Any]) -> int:
    return int(pod["metadata"].get("annotations", {}).get(INDEX, -1))


def indexes(world: World) -> list[int]:
    return sorted(index_of(pod) for pod in world.pods.values())
