"""Checks of jobs, and the selector a job is given.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/batch/validation`, `pkg/registry/batch/job`).
"""

from __future__ import annotations

import copy
from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.status import (
    OMITTED,
    FieldError,
    invalid_value,
    not_supported,
    required,
    too_long,
)

from .affinity import check_selector, matches
from .job_policies import check_failure_policy, check_success_policy, internal_failure, internal_success
from .pods import check_template

Object = dict[str, Any]

JOB_NAME = "batch.kubernetes.io/job-name"
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
LEGACY_JOB_NAME = "job-name"
LEGACY_CONTROLLER_UID = "controller-uid"

_COMPLETIONS_LIMIT = 100_000
_HIGH_LIMIT = 10_000
_MODES = ("NonIndexed", "Indexed")
_HIGH = f"when completions are above {_COMPLETIONS_LIMIT} and used with backoff limit per index"


def generate_selector(job: Object) -> None:
    """Give a new job its selector, and its template the labels the selector finds, in place.

    Args:
        job: the job; its uid is set.
    """
    spec, metadata = job["spec"], job["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for key, value in (
        (LEGACY_JOB_NAME, metadata.get("name", "")),
        (JOB_NAME, metadata.get("name", "")),
        (LEGACY_CONTROLLER_UID, metadata.get("uid", "")),
        (CONTROLLER_UID, metadata.get("uid", "")),
    ):
        labels.setdefault(key, value)
    selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selector.setdefault(CONTROLLER_UID, metadata.get("uid", ""))


def check_job(job: Object) -> list[FieldError]:
    """Check a job but for its metadata.

    Args:
        job: the job, defaults and selector set.
    """
    spec, name = job["spec"], job["metadata"].get("name", "")
    errors = _check_generated(job) + check_job_spec(spec, "spec")
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        hostname = f"{name}-{completions - 1}"
        if formats.dns_label(hostname):
            text = f"will not able to create pod with invalid DNS label: {hostname}"
            errors.append(invalid_value("metadata.name", name, text))
    return errors


def _check_generated(job: Object) -> list[FieldError]:
    spec, metadata = job["spec"], job["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return []
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    expected = {
        LEGACY_CONTROLLER_UID: metadata.get("uid", ""),
        LEGACY_JOB_NAME: metadata.get("name", ""),
        CONTROLLER_UID: metadata.get("uid", ""),
        JOB_NAME: metadata.get("name", ""),
    }
    errors: list[FieldError] = []
    for key, value in expected.items():
        field = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errors.append(required(field, f"must be '{value}'"))
        elif labels[key] != value:
            errors.append(invalid_value(field, labels, f"must be '{value}'"))
    if not matches(spec["selector"], expected):
        errors.append(invalid_value("spec.selector", _sorted(spec["selector"]), "`selector` not auto-generated"))
    return errors


def _sorted(selector: Object | None) -> Object | None:
    """Give a selector as it is quoted: its labels in order."""
    if not selector or not selector.get("matchLabels"):
        return selector
    return {**selector, "matchLabels": dict(sorted(selector["matchLabels"].items()))}


def check_job_spec(spec: Object, field: str) -> list[FieldError]:
    """Check the spec of a job.

    Args:
        spec: the spec, defaults and selector set.
        field: its path.
    """
    errors: list[FieldError] = []
    for name in (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        "backoffLimitPerIndex", "maxFailedIndexes",
    ):  # fmt: skip
        value = spec.get(name)
        if value is not None and value < 0:
            errors.append(invalid_value(f"{field}.{name}", value, formats.NEGATIVE))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    errors += _check_managed_by(spec, field) + _check_mode(spec, field)
    if spec.get("podFailurePolicy") is not None:
        errors += check_failure_policy(spec, f"{field}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        if spec.get("completionMode") != "Indexed":
            text = "requires indexed completion mode"
            errors.append(invalid_value(f"{field}.successPolicy", internal_success(spec["successPolicy"]), text))
        else:
            errors += check_success_policy(spec, f"{field}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    choices = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in choices:
        errors.append(not_supported(f"{field}.podReplacementPolicy", replacement, choices))
    errors += check_template(spec["template"], f"{field}.template")
    errors += _check_restart(spec, f"{field}.template.spec.restartPolicy")
    selector = spec.get("selector")
    if selector is None:
        errors.append(required(f"{field}.selector"))
    errors += check_selector(selector, f"{field}.selector")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not matches(selector, labels):
        text = "`selector` does not match template `labels`"
        errors.append(invalid_value(f"{field}.template.metadata.labels", dict(sorted(labels.items())), text))
    return errors


def _check_managed_by(spec: Object, field: str) -> list[FieldError]:
    name = spec.get("managedBy")
    if name is None:
        return []
    where = f"{field}.managedBy"
    if not name:
        return [required(where)]
    host, slash, path = name.partition("/")
    errors = [too_long(where, 63)] if len(name) > 63 else []
    if not (host and slash and path):
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [invalid_value(where, name, text), *errors]
    return [invalid_value(where, host, text) for text in formats.subdomain(host)] + errors


def _check_mode(spec: Object, field: str) -> list[FieldError]:
    mode = spec.get("completionMode")
    errors: list[FieldError] = []
    per_index, most_failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if mode not in _MODES:
        errors.append(not_supported(f"{field}.completionMode", mode, _MODES))
    elif mode == "NonIndexed":
        for name, value in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", most_failed)):
            if value is not None:
                errors.append(invalid_value(f"{field}.{name}", value, "requires indexed completion mode"))
    else:
        errors += _check_indexed(spec, field)
    return errors


def _check_indexed(spec: Object, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    most_failed = spec.get("maxFailedIndexes")
    if completions is None:
        errors.append(required(f"{field}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _COMPLETIONS_LIMIT:
        text = f"must be less than or equal to {_COMPLETIONS_LIMIT} when completion mode is Indexed"
        errors.append(invalid_value(f"{field}.parallelism", parallelism, text))
    if most_failed is not None:
        where = f"{field}.maxFailedIndexes"
        if completions is not None and most_failed > completions:
            errors.append(invalid_value(where, most_failed, "must be less than or equal to completions"))
        if most_failed > _COMPLETIONS_LIMIT:
            errors.append(invalid_value(where, most_failed, f"must be less than or equal to {_COMPLETIONS_LIMIT}"))
    if completions is not None and completions > _COMPLETIONS_LIMIT and spec.get("backoffLimitPerIndex") is not None:
        text = f"must be less than or equal to {_HIGH_LIMIT} {_HIGH}"
        if most_failed is None:
            why = f"must be specified when completions is above {_COMPLETIONS_LIMIT}"
            errors.append(required(f"{field}.maxFailedIndexes", why))
        elif most_failed > _HIGH_LIMIT:
            errors.append(invalid_value(f"{field}.maxFailedIndexes", most_failed, text))
        if parallelism is not None and parallelism > _HIGH_LIMIT:
            errors.append(invalid_value(f"{field}.parallelism", parallelism, text))
    return errors


def _check_restart(spec: Object, field: str) -> list[FieldError]:
    policy = (spec["template"].get("spec") or {}).get("restartPolicy", "")
    if policy in {"", "Always"}:
        return [required(field, 'valid values: "OnFailure", "Never"')]
    if policy not in {"OnFailure", "Never"}:
        return [not_supported(field, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        return [invalid_value(field, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def check_job_update(new: Object, old: Object) -> list[FieldError]:
    """Check that an update of a job changes only what may change, but for its metadata.

    Args:
        new: the job after the change.
        old: the job as stored.
    """
    after, before = new["spec"], old["spec"]
    # The real one checks the spec by itself, and again as a part of the check of what has changed.
    errors = check_job(new) + check_job_spec(after, "spec")
    errors += _check_completions(after, before)
    errors += _immutable("selector", after, before)
    errors += _check_template_update(after, before, old)
    for name in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        errors += _immutable(name, after, before)
    return errors


def _immutable(name: str, new: Object, old: Object) -> list[FieldError]:
    if new.get(name) == old.get(name):
        return []
    quoted = {"selector": _sorted, "podFailurePolicy": internal_failure, "successPolicy": internal_success}
    value = new.get(name)
    return [invalid_value(f"spec.{name}", quoted[name](value) if name in quoted else value, formats.IMMUTABLE)]


def _check_completions(new: Object, old: Object) -> list[FieldError]:
    if new.get("completionMode") != "Indexed":
        return _immutable("completions", new, old)
    completions = new.get("completions")
    if completions in {None, old.get("completions")} or completions == new.get("parallelism"):
        return []
    return [invalid_value("spec.completions", completions, "can only be modified in tandem with spec.parallelism")]


def _check_template_update(new: Object, old: Object, job: Object) -> list[FieldError]:
    template, before = new["template"], old["template"]
    if template == before:
        return []
    if old.get("suspend") and not (job.get("status") or {}).get("startTime"):
        # Where a job that has not begun is sent may still be decided.
        before = copy.deepcopy(before)
        for part, names in (
            ("metadata", ("labels", "annotations")),
            ("spec", ("nodeSelector", "tolerations", "schedulingGates")),
        ):
            for name in names:
                _take(name, template.get(part) or {}, before.setdefault(part, {}))
        affinity = dict(before["spec"].get("affinity") or {})
        _take("nodeAffinity", (template.get("spec") or {}).get("affinity") or {}, affinity)
        _take("affinity", {"affinity": affinity} if affinity else {}, before["spec"])
        if template == before:
            return []
    return [invalid_value("spec.template", template, formats.IMMUTABLE)]


def _take(name: str, source: Object, into: Object) -> None:
    if name in source:
        into[name] = source[name]
    else:
        into.pop(name, None)


def check_job_status(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a job's status.

    Args:
        new: the job after the change.
        old: the job as stored.
    """
    after, before = new.get("status") or {}, old.get("status") or {}
    errors = [
        invalid_value(f"status.{name}", after[name], formats.NEGATIVE)
        for name in ("active", "succeeded", "failed", "ready", "terminating")
        if after.get(name, 0) < 0
    ]
    complete, failed = _is_true(after, "Complete"), _is_true(after, "Failed")
    if complete and failed:
        text = "cannot set Complete=True and Failed=true conditions"
        errors.append(invalid_value("status.conditions", OMITTED, text))
    if after.get("completionTime") and not complete:
        text = "cannot set completionTime when there is no Complete=True condition"
        errors.append(invalid_value("status.completionTime", after["completionTime"], text))
    if complete and not after.get("completionTime"):
        errors.append(required("status.completionTime", "completionTime is required for Complete jobs"))
    if failed and not _is_true(after, "FailureTarget"):
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        errors.append(invalid_value("status.conditions", OMITTED, text))
    if complete and not _is_true(after, "SuccessCriteriaMet"):
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        errors.append(invalid_value("status.conditions", OMITTED, text))
    if (complete or failed) and after.get("active", 0) > 0:
        errors.append(invalid_value("status.active", after["active"], "active>0 is invalid for finished job"))
    if (complete or failed) and not after.get("startTime"):
        errors.append(required("status.startTime", "startTime is required for finished job"))
    if after.get("ready") is not None and after["ready"] > after.get("active", 0):
        errors.append(invalid_value("status.ready", after["ready"], "cannot set more ready pods than active"))
    for kind in ("Failed", "Complete", "FailureTarget"):
        if _is_true(before, kind) and not _is_true(after, kind):
            text = f"cannot disable the terminal {kind}=True condition"
            errors.append(invalid_value("status.conditions", OMITTED, text))
    return errors


def _is_true(status: Object, kind: str) -> bool:
    return any(each.get("type") == kind and each.get("status") == "True" for each in status.get("conditions") or ())
