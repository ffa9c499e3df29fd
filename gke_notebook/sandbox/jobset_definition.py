"""The definition of JobSets that the sandbox brings along: the fields its controller knows.

Kind, names and fields are those of JobSet 0.10.1 (`api/jobset/v1alpha2`). A job's template is taken as it is: the Job
API checks it when the job is created. JobSet's own definition may be applied over this one.
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.jobsets import GROUP, KIND, PLURAL, VERSION

Object = dict[str, Any]

_TEXT: Object = {"type": "string"}
_FLAG: Object = {"type": "boolean"}
_COUNT: Object = {"type": "integer", "format": "int32"}
_TEXTS: Object = {"type": "array", "items": _TEXT, "x-kubernetes-list-type": "atomic"}


def _choice(*words: str, **more: Any) -> Object:
    return {"type": "string", "enum": list(words), **more}


def _struct(*required: str, **properties: Object) -> Object:
    found: Object = {"type": "object", "properties": {name.rstrip("_"): each for name, each in properties.items()}}
    return {**found, "required": list(required)} if required else found


def _keyed(key: str, item: Object) -> Object:
    lists = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return {"type": "array", "items": item, **lists}


def _spec() -> Object:
    replicated = _struct(
        "name", "template",
        name=_TEXT,
        groupName={**_TEXT, "default": "default"},
        replicas={**_COUNT, "default": 1},
        template={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        dependsOn=_keyed("name", _struct("name", "status", name=_TEXT, status=_choice("Ready", "Complete"))),
    )  # fmt: skip
    rule = _struct(
        "action", "name",
        name=_TEXT,
        action=_choice("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"),
        onJobFailureReasons=_TEXTS,
        onJobFailureMessagePatterns=_TEXTS,
        targetReplicatedJobs=_TEXTS,
    )  # fmt: skip
    rule["required"] = ["action"]  # the webhook gives a rule its name
    return _struct(
        replicatedJobs=_keyed("name", replicated),
        network=_struct(enableDNSHostnames=_FLAG, subdomain=_TEXT, publishNotReadyAddresses=_FLAG),
        successPolicy=_struct("operator", operator=_choice("All", "Any"), targetReplicatedJobs=_TEXTS),
        failurePolicy=_struct(
            maxRestarts=_COUNT,
            restartStrategy=_choice("Recreate", "BlockingRecreate", default="Recreate"),
            rules={"type": "array", "items": rule},
        ),
        startupPolicy=_struct("startupPolicyOrder", startupPolicyOrder=_choice("AnyOrder", "InOrder")),
        suspend=_FLAG,
        coordinator=_struct(
            "replicatedJob", replicatedJob=_TEXT, jobIndex={"type": "integer"}, podIndex={"type": "integer"}
        ),
        managedBy=_TEXT,
        ttlSecondsAfterFinished={**_COUNT, "minimum": 0},
    )


def _status() -> Object:
    words = ("active", "failed", "ready", "succeeded", "suspended")
    condition = _struct(
        "lastTransitionTime", "message", "reason", "status", "type",
        type_=_TEXT, status=_choice("True", "False", "Unknown"), reason=_TEXT, message=_TEXT,
        lastTransitionTime={"type": "string", "format": "date-time"},
        observedGeneration={"type": "integer", "format": "int64"},
    )  # fmt: skip
    return _struct(
        conditions=_keyed("type", condition),
        restarts=_COUNT,
        restartsCountTowardsMax=_COUNT,
        terminalState=_TEXT,
        replicatedJobsStatus=_keyed("name", _struct("name", *words, name=_TEXT, **dict.fromkeys(words, _COUNT))),
    )


def definition() -> Object:
    """Give the CustomResourceDefinition."""
    columns = [
        {"name": "TerminalState", "type": "string", "jsonPath": ".status.terminalState"},
        {"name": "Restarts", "type": "string", "jsonPath": ".status.restarts"},
        {"name": "Completed", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Completed")].status'},
        {"name": "Suspended", "type": "string", "jsonPath": ".spec.suspend"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _struct(apiVersion=_TEXT, kind=_TEXT, spec=_spec(), status=_status())},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": PLURAL, "singular": KIND.lower(), "kind": KIND, "listKind": f"{KIND}List"},
            "versions": [version],
        },
    }
