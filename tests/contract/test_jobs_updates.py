"""What may be changed of a Job, and what is said of what may not, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import JOBS
from tests.contract.both import Both, Side

Object = dict[str, Any]
# The whole template is quoted: by the real one with the names of its own type, and all that is not set.
TEMPLATE = (r"Invalid value: \{\"(?:metadata|labels|annotations|spec|Spec)\":.*?\}: field is immutable",
            "Invalid value: <template>: field is immutable")  # fmt: skip
POLICY = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]}
REQUESTS = {"resources": {"requests": {"cpu": "1"}}}


def job(*, metadata: Object | None = None, spec: Object | None = None, **more: Any) -> Object:
    pod = {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "x"}], **(spec or {}),
    }  # fmt: skip
    template = {"metadata": metadata or {}, "spec": pod}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"parallelism": 0, "template": template, **more},
    }  # fmt: skip


def template(**change: Any) -> Object:
    return {"template": {"spec": change}}


def container(**change: Any) -> Object:
    return template(containers=[{"name": "main", "image": "x", **change}])


SHAPES = {
    "plain": job(completions=3),
    "indexed": job(completions=3, completionMode="Indexed", backoffLimitPerIndex=2, maxFailedIndexes=2),
    "suspended": job(completions=3, completionMode="Indexed", suspend=True),
    "without completions": job(),
    "with policies": job(
        completions=2, completionMode="Indexed", podFailurePolicy=POLICY,
        successPolicy={"rules": [{"succeededCount": 1}]},
    ),
}  # fmt: skip
CHANGES: dict[str, Object] = {
    "parallelism": {"parallelism": 2},
    "negative parallelism": {"parallelism": -1},
    "completions": {"completions": 5},
    "completions and parallelism": {"completions": 4, "parallelism": 4},
    "no completions": {"completions": None},
    "negative completions": {"completions": -2},
    "mode": {"completionMode": "NonIndexed"},
    "mode indexed": {"completionMode": "Indexed"},
    "wrong mode": {"completionMode": "Other"},
    "suspend": {"suspend": True},
    "resume": {"suspend": False},
    "deadline": {"activeDeadlineSeconds": 30},
    "negative deadline": {"activeDeadlineSeconds": -1},
    "backoff limit": {"backoffLimit": 1},
    "negative backoff limit": {"backoffLimit": -1},
    "time to live": {"ttlSecondsAfterFinished": 7},
    "backoff limit per index": {"backoffLimitPerIndex": 1},
    "most failed indexes": {"maxFailedIndexes": 1},
    "too many failed indexes": {"maxFailedIndexes": 100},
    "pod failure policy": {"podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "A"}]}]}},
    "no pod failure policy": {"podFailurePolicy": None},
    "success policy": {"successPolicy": {"rules": [{"succeededIndexes": "0"}]}},
    "replacement": {"podReplacementPolicy": "Failed"},
    "manager": {"managedBy": "example.com/me"},
    "manual selector": {"manualSelector": True},
    "selector": {"selector": {"matchLabels": {"a": "b"}}},
    "image": container(image="y"),
    "another container": template(containers=[{"name": "other", "image": "x"}]),
    "requests": container(**REQUESTS),
    "no containers": template(containers=[]),
    "node selector": template(nodeSelector={"a": "b"}),
    "wrong node selector": template(nodeSelector={"a": "!"}),
    "tolerations": template(tolerations=[{"key": "a", "operator": "Exists"}]),
    "wrong tolerations": template(tolerations=[{"key": "a", "operator": "Other"}]),
    "gates": template(schedulingGates=[{"name": "example.com/a"}]),
    "affinity": template(
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}),
    "restart policy": template(restartPolicy="OnFailure"),
    "always": template(restartPolicy="Always"),
    "account": template(serviceAccountName="me"),
    "priority": template(priorityClassName="high"),
    "labels of pods": {"template": {"metadata": {"labels": {"a": "b"}}}},
    "annotations of pods": {"template": {"metadata": {"annotations": {"a": "b"}}}},
    "wrong labels of pods": {"template": {"metadata": {"labels": {"a": "!"}}}},
    "several": {**container(image="y"), "completionMode": "NonIndexed", "backoffLimit": -1, "completions": -1},
}  # fmt: skip
# The real one ends the connection: it looks for completions that are not there (kube-apiserver 1.34.4).
BREAKS = {("with policies", "no completions")}


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_change(shape: str, both: Both):
    async def scenario(side: Side) -> Any:
        await side.client.create(JOBS, SHAPES[shape], side.namespace)
        found = {}
        for name, change in CHANGES.items():
            if (shape, name) in BREAKS:
                continue
            answer = await side.ask(
                "PATCH", side.path(JOBS, "j"), {"spec": change}, params={"dryRun": "All"}, content_type=MERGE_PATCH
            )
            body = answer["body"]
            if answer["status"] != 200:
                found[name] = [body["message"], body["details"], answer["headers"]]
                continue
            for key in ("batch.kubernetes.io/controller-uid", "controller-uid"):
                assert body["spec"]["template"]["metadata"]["labels"].pop(key) == body["metadata"]["uid"]
            found[name] = [body["spec"], body["metadata"]["generation"], answer["headers"]]
        return found

    await both.compare(scenario, kind="Job", feature=f"changes: {shape}", rules=[TEMPLATE])
