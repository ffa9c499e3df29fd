"""What JobSet's own webhook does to a JobSet: defaults, and refusals that a schema cannot express.

Source of rules and texts: sigs.k8s.io/jobset v0.10.1, pkg/webhooks/jobset_webhook.go.
"""

from __future__ import annotations

import json
import re
from typing import Any

Object = dict[str, Any]

GROUP, VERSION, KIND, PLURAL = "jobset.x-k8s.io", "v1alpha2", "JobSet", "jobsets"
EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
NODE_SELECTOR = "alpha.jobset.sigs.k8s.io/node-selector"
JOB_KEY = "jobset.sigs.k8s.io/job-key"
CONTROLLER = "jobset.sigs.k8s.io/jobset-controller"
WEBHOOK = 'admission webhook "vjobset.kb.io" denied the request: '

_MAX_INT32 = 2**31 - 1
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_LIMIT = 63
_LABEL_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_TOO_LONG = {
    "job": "JobSet name is too long, job names generated for this JobSet will exceed 63 characters",
    "pod": "JobSet name is too long, pod names generated for this JobSet will exceed 63 characters",
    "group": "Group name is too long, it must be less than or equal to 63 characters",
    "subdomain": ".spec.network.subdomain is too long, must be less than 63 characters",
}
_RULE_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_RULE_LENGTH = 128
_REASONS = frozenset(
    {"BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy"}
)


def job_name(jobset: str, replicated: str, index: int) -> str:
    """Give the name of a child job.

    Args:
        jobset: the JobSet's name.
        replicated: the replicated job's name.
        index: its index among the replicas.

    Example:
        >>> job_name("training", "workers", 1)
        'training-workers-1'
    """
    return f"{jobset}-{replicated}-{index}"


def set_defaults(jobset: Object) -> None:
    """Fill in, in place, what the webhook fills in; values of wrong types are left to the schema.

    Args:
        jobset: a JobSet with the defaults of its schema.
    """
    spec = jobset.get("spec")
    if not isinstance(spec, dict):
        return
    spec.setdefault("successPolicy", {"operator": "All"})
    spec.setdefault("startupPolicy", {"startupPolicyOrder": "AnyOrder"})
    for replicated in _dicts(spec.get("replicatedJobs")):
        template = _dict(replicated.get("template"))
        job = _dict(template.get("spec"))
        pod = _dict(_dict(job.get("template")).get("spec"))
        # The webhook writes the object anew, and its types always write these.
        for owner, key in (
            (template, "metadata"),
            (_dict(job.get("template")), "metadata"),
            *((each, "resources") for word in ("containers", "initContainers") for each in _dicts(pod.get(word))),
        ):
            owner.setdefault(key, {})
        if job:
            job.setdefault("completionMode", "Indexed")
        if pod and not pod.get("restartPolicy"):
            pod["restartPolicy"] = "OnFailure"
    network = spec.setdefault("network", {})
    if isinstance(network, dict):
        network.setdefault("enableDNSHostnames", True)
        network.setdefault("publishNotReadyAddresses", True)
    for index, rule in enumerate(_dicts(_dict(spec.get("failurePolicy")).get("rules"))):
        if not rule.get("name"):
            rule["name"] = f"failurePolicyRule{index}"


def _dict(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Object]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def check_create(jobset: Object) -> list[str]:
    """Give what the webhook refuses in a new JobSet.

    Args:
        jobset: the JobSet, valid by its schema.
    """
    spec = jobset.get("spec") or {}
    replicated = spec.get("replicatedJobs") or []
    errors: list[str] = []
    if replicated and replicated[0].get("dependsOn"):
        errors.append("DependsOn can't be set for the first ReplicatedJob")
    subdomain = (spec.get("network") or {}).get("subdomain")
    if subdomain:
        errors += _label("spec.network.subdomain", subdomain, subdomain, "subdomain")
    names: set[str] = set()
    for index, each in enumerate(replicated):
        names.add(each["name"])
        errors += _check_replicated(jobset["metadata"].get("name", ""), each, index, names)
    for name in (spec.get("successPolicy") or {}).get("targetReplicatedJobs") or ():
        if name not in names:
            errors.append(f"invalid replicatedJob name '{name}' does not appear in .spec.ReplicatedJobs")
    errors += _check_rules((spec.get("failurePolicy") or {}).get("rules") or [], names)
    if spec.get("coordinator"):
        errors += _check_coordinator(spec["coordinator"], replicated)
    return errors


def _label(path: str, shown: str, value: str, what: str) -> list[str]:
    found = []
    if len(value) > _LABEL_LIMIT:
        found.append(_TOO_LONG[what])
    if not _LABEL.fullmatch(value):
        found.append(_LABEL_TEXT)
    return [f'{path}: Invalid value: "{shown}": {text}' for text in found]


def _check_replicated(name: str, each: Object, index: int, names: set[str]) -> list[str]:
    errors: list[str] = []
    path = f"spec.replicatedJobs[{index}]"
    job, replicas = (each.get("template") or {}).get("spec") or {}, each.get("replicas", 1)
    if job.get("parallelism", 1) * replicas > _MAX_INT32:
        errors.append(
            f"the product of replicas and parallelism must not exceed {_MAX_INT32} for replicatedJob '{each['name']}'"
        )
    group = each.get("groupName", "default")
    errors += _label(f"{path}.groupName", group, group, "group")
    longest = job_name(name, each["name"], replicas - 1)
    errors += _label(f"{path}.name", longest, longest, "job")
    if job.get("completionMode") == "Indexed" and job.get("completions") is not None:
        pod = f"{longest}-{job['completions'] - 1}-abcde"
        errors += _label(f"{path}.name", longest, pod, "pod")
    for item in each.get("dependsOn") or ():
        if item["name"] not in names:
            errors.append(f"replicatedJob: {each['name']} cannot depend on replicatedJob: {item['name']}")
    return errors


def _check_rules(rules: list[Object], names: set[str]) -> list[str]:
    errors: list[str] = []
    seen: dict[str, list[int]] = {}
    for index, rule in enumerate(rules):
        name = rule.get("name", "")
        seen.setdefault(name, []).append(index)
        if not 1 <= len(name) <= _RULE_LENGTH:
            errors.append(
                f"invalid failure policy rule name of length {len(name)}, the rule name must be at least 1 characters "
                f"long and at most {_RULE_LENGTH} characters long"
            )
        if not _RULE_NAME.fullmatch(name):
            errors.append(
                f"invalid failure policy rule name '{name}', a failure policy rule name must start with an alphabetic "
                "character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an "
                "alphanumeric character or '_'"
            )
        errors += [
            f"invalid replicatedJob name '{target}' in failure policy does not appear in .spec.ReplicatedJobs"
            for target in rule.get("targetReplicatedJobs") or ()
            if target not in names
        ]
        errors += [
            f"invalid job failure reason '{reason}' in failure policy is not a recognized job failure reason"
            for reason in rule.get("onJobFailureReasons") or ()
            if reason not in _REASONS
        ]
    for name, indexes in seen.items():
        if len(indexes) > 1:
            shown = " ".join(map(str, indexes))
            errors.append(f"rule names are not unique, rules with indices [{shown}] all have the same name '{name}'")
    return errors


def _check_coordinator(coordinator: Object, replicated: list[Object]) -> list[str]:
    wanted, job_index = coordinator.get("replicatedJob", ""), coordinator.get("jobIndex", 0)
    pod_index = coordinator.get("podIndex", 0)
    each = next((item for item in replicated if item["name"] == wanted), None)
    if each is None:
        return [f"coordinator replicatedJob {wanted} does not exist"]
    if not 0 <= job_index < each.get("replicas", 1):
        return [f"coordinator job index {job_index} is invalid for replicatedJob {wanted}"]
    job = (each.get("template") or {}).get("spec") or {}
    completions = job.get("completions")
    if completions is None or job.get("completionMode") != "Indexed":
        return ["job for coordinator pod must be indexed completion mode, and completions number must be set"]
    if not 0 <= pod_index < completions:
        return [f"coordinator pod index {pod_index} is invalid for replicatedJob {wanted} job index {job_index}"]
    return []


_MUTABLE = ("nodeSelector", "tolerations", "schedulingGates")


def check_update(new: Object, old: Object) -> list[str]:
    """Give what the webhook refuses in a change of a JobSet.

    Args:
        new: the JobSet after the change.
        old: the JobSet as stored.
    """
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    jobs, previous = spec.get("replicatedJobs") or [], before.get("replicatedJobs") or []
    if (spec.get("suspend") or before.get("suspend")) and len(jobs) == len(previous):
        jobs, previous = [_fixed(each) for each in jobs], [_fixed(each) for each in previous]
    errors = []
    if jobs != previous:
        shown = json.dumps(spec.get("replicatedJobs"), separators=(",", ":"))
        errors.append(f"spec.replicatedJobs: Invalid value: {shown}: field is immutable")
    if spec.get("managedBy") != before.get("managedBy"):
        errors.append(f"spec.managedBy: Invalid value: {json.dumps(spec.get('managedBy'))}: field is immutable")
    return errors


def _fixed(replicated: Object) -> Object:
    """Give a replicated job without what may change while its JobSet is suspended."""
    template = replicated.get("template") or {}
    job = template.get("spec") or {}
    pod = job.get("template") or {}
    meta = {key: value for key, value in (pod.get("metadata") or {}).items() if key not in {"labels", "annotations"}}
    spec = {key: value for key, value in (pod.get("spec") or {}).items() if key not in _MUTABLE}
    return {**replicated, "template": {**template, "spec": {**job, "template": {"metadata": meta, "spec": spec}}}}
