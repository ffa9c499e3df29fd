"""What Kueue's webhooks do, while its kinds are served: Jobs for a queue are held, mistakes refused.

Source of rules and texts: sigs.k8s.io/kueue v0.15.0 (`pkg/webhooks`, `pkg/controller/jobframework` and `jobs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gke_notebook.sandbox import jobsets, kueue
from gke_notebook.sandbox.apiserver import formats, status
from gke_notebook.sandbox.apiserver.kinds import Kind
from gke_notebook.sandbox.apiserver.status import FieldError, StatusError
from gke_notebook.sandbox.apiserver.store import Store
from gke_notebook.sandbox.quantity import QuantityError, canonical

from . import queue_checks
from .queue_checks import HOW, IMMUTABLE

Object = dict[str, Any]

_QUEUES = f"{kueue.LOCAL_QUEUES.plural}.{kueue.GROUP}"
_JOBSETS = f"{jobsets.PLURAL}.{jobsets.GROUP}"
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_MIN_PARALLELISM = f"{kueue.GROUP}/job-min-parallelism"
_TOPOLOGY = f"{kueue.GROUP}/podset-"


def _is_job(kind: Kind) -> bool:
    return (kind.group, kind.kind) in {("batch", "Job"), (jobsets.GROUP, jobsets.KIND)}


def _is_served(store: Store) -> bool:
    return store.collection_named(_DEFINITIONS).get("", _QUEUES) is not None


def _map(obj: Object, key: str) -> Object:
    found = (obj.get("metadata") or {}).get(key)
    return found if isinstance(found, dict) else {}


def admit(store: Store, kind: Kind, obj: Object) -> None:
    """Change a new object as the mutating webhooks do, in place.

    Args:
        store: the state.
        kind: its kind.
        obj: the object.
    """
    if kind.group == kueue.GROUP and kind.kind in {"ClusterQueue", "ResourceFlavor"}:
        finalizers = obj["metadata"].get("finalizers") or []
        if kueue.FINALIZER not in finalizers:
            obj["metadata"]["finalizers"] = [*finalizers, kueue.FINALIZER]
        _write_quotas(obj)
        return
    if not _is_job(kind) or not isinstance(obj.get("spec"), dict) or not _is_served(store):
        return
    if _is_part(store, obj):
        return
    namespace = obj["metadata"].get("namespace", "")
    if not kueue.queue_name(obj) and store.collection_named(_QUEUES).get(namespace, kueue.DEFAULT_QUEUE) is not None:
        obj["metadata"]["labels"] = {**_map(obj, "labels"), kueue.QUEUE_LABEL: kueue.DEFAULT_QUEUE}
    if kueue.queue_name(obj):
        obj["spec"]["suspend"] = True


def _write_quotas(obj: Object) -> None:
    """Write quotas in their canonical form: the webhook reads the object and writes it anew."""
    groups = (obj.get("spec") or {}).get("resourceGroups")
    try:
        quotas = [each for group in groups or () for flavor in group["flavors"] for each in flavor["resources"]]
        for each in quotas:
            for key in ("nominalQuota", "borrowingLimit", "lendingLimit"):
                if key in each:
                    each[key] = canonical(each[key])
    except (KeyError, TypeError, QuantityError):
        return  # the schema refuses it in a moment


def _is_part(store: Store, job: Object) -> bool:
    """Say whether a job belongs to a JobSet that is queued itself."""
    for owner in job["metadata"].get("ownerReferences") or ():
        if isinstance(owner, dict) and owner.get("controller") and owner.get("kind") == jobsets.KIND:
            entry = store.collection_named(_JOBSETS).get(job["metadata"].get("namespace", ""), str(owner.get("name")))
            return entry is not None and bool(kueue.queue_name(entry.object()))
    return False


def check(store: Store, kind: Kind, new: Object, old: Object | None = None) -> None:
    """Refuse what the validating webhooks refuse.

    Args:
        store: the state.
        kind: the kind.
        new: the object, valid.
        old: the object as stored, None for a new one.

    Raises:
        StatusError: 403, or 422 for what Kueue's definitions refuse.
    """
    if kind.group == kueue.GROUP:
        errors = queue_checks.broken_rules(kind.kind, new, old)
        if errors:
            raise status.invalid(kind, new["metadata"].get("name", ""), errors)
        # What cannot be done is said first: what else is wrong may follow from it.
        missing = queue_checks.unsupported(kind.kind, new)
        _deny(kind, missing or list(map(str, queue_checks.denied(kind.kind, new, old))))
    elif _is_job(kind) and _is_served(store):
        _deny(kind, _unsupported(new) or list(map(str, job_errors(new, old))))


def _deny(kind: Kind, texts: Sequence[str]) -> None:
    if texts:
        found = list(dict.fromkeys(texts))
        said = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
        text = f'admission webhook "v{kind.kind.lower()}.kb.io" denied the request: {said}'
        raise StatusError(403, "Forbidden", text, {})


def _unsupported(job: Object) -> list[str]:
    """Give what a job asks of Kueue that this sandbox would have to ignore."""
    if not kueue.queue_name(job):
        return []
    found = [key for key in (_MIN_PARALLELISM,) if key in _map(job, "annotations")]
    found += [key for key in (kueue.PREBUILT_LABEL,) if key in _map(job, "labels")]
    spec = job.get("spec") or {}
    jobs = (
        [each["template"]["spec"] for each in spec.get("replicatedJobs") or ()] if "replicatedJobs" in spec else [spec]
    )
    for each in jobs:
        found += [key for key in _map(each.get("template") or {}, "annotations") if key.startswith(_TOPOLOGY)]
    return [f"{key} is not supported by this sandbox; {HOW}" for key in found]


def job_errors(new: Object, old: Object | None) -> list[FieldError]:
    """Give what the webhook of Jobs or JobSets refuses.

    Args:
        new: the job.
        old: the job as stored, None for a new one.

    Example:
        >>> labels = {"kueue.x-k8s.io/max-exec-time-seconds": "0"}
        >>> print(*job_errors({"metadata": {"labels": labels}}, None))
        metadata.labels[kueue.x-k8s.io/max-exec-time-seconds]: Invalid value: 0: should be greater than 0
    """
    labels = _map(new, "labels")
    path = "metadata.labels[{}]".format
    errors: list[FieldError] = []
    if kueue.QUEUE_LABEL in labels:
        name = labels[kueue.QUEUE_LABEL]
        errors += [status.invalid_value(path(kueue.QUEUE_LABEL), name, text) for text in formats.subdomain(name)]
    if kueue.MAX_TIME_LABEL in labels:
        errors += _seconds(labels[kueue.MAX_TIME_LABEL], path(kueue.MAX_TIME_LABEL))
    if old is None:
        return errors
    before = _map(old, "labels")
    runs = not (new.get("spec") or {}).get("suspend")
    ran = not (old.get("spec") or {}).get("suspend")
    priority, was = labels.get(kueue.PRIORITY_LABEL, ""), before.get(kueue.PRIORITY_LABEL, "")
    for key, fixed in (
        (kueue.QUEUE_LABEL, runs),
        (kueue.MAX_TIME_LABEL, runs or ran),
        (kueue.PRIORITY_LABEL, (runs and not was) or not priority),
    ):
        if fixed and labels.get(key, "") != before.get(key, ""):
            errors.append(status.invalid_value(path(key), labels.get(key, ""), IMMUTABLE))
    return errors


def _seconds(text: str, path: str) -> list[FieldError]:
    try:
        number = int(text)
    except ValueError:
        return [status.invalid_value(path, text, f"strconv.Atoi: parsing {status.quote(text)}: invalid syntax")]
    return [] if number > 0 else [status.invalid_value(path, number, "should be greater than 0")]
