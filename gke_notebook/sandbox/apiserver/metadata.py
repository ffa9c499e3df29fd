"""The parts of `metadata` that the server owns."""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import datetime, timezone
from typing import Any

Object = dict[str, Any]

# Without vowels and look-alikes, so that no generated name spells a word (k8s.io/apimachinery v0.34, util/rand).
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_MAX_GENERATED = 63

# Kinds whose storage counts changes of the spec (kubernetes v1.34, pkg/registry/*/strategy.go).
_WITH_GENERATION = {
    "Pod", "Job", "PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


def timestamp(seconds: float | None = None) -> str:
    """Write a time as metav1.Time.

    Args:
        seconds: since the epoch; None for now.

    Example:
        >>> timestamp(0)
        '1970-01-01T00:00:00Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def parse_timestamp(text: str) -> float:
    """Read a metav1.Time; gives seconds since the epoch.

    Args:
        text: RFC 3339.
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc).timestamp()


def generate_name(base: str) -> str:
    """Make a name out of a `generateName`.

    Args:
        base: the prefix; cut so that a DNS label comes out.
    """
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    return base[: _MAX_GENERATED - _SUFFIX_LENGTH] + suffix


def begin(kind: str, metadata: Object, now: str) -> None:
    """Set what the server sets on a new object, and remove what a client may not set.

    Args:
        kind: the object's kind.
        metadata: changed in place.
        now: the time as metav1.Time.
    """
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"):
        metadata.pop(key, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now
    if kind in _WITH_GENERATION:
        metadata["generation"] = 1


def carry_over(new: Object, old: Object) -> None:
    """Put back what an update cannot change, where the client left it out or wrote something else.

    Args:
        new: the metadata of the object after the change, changed in place.
        old: the metadata as stored.
    """
    for key in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        if key in old:
            new[key] = old[key]
        else:
            new.pop(key, None)
    new.pop("selfLink", None)
    if not new.get("uid"):
        new["uid"] = old["uid"]
    if "namespace" in old:
        new.setdefault("namespace", old["namespace"])
    if "generateName" in old:
        new.setdefault("generateName", old["generateName"])


def bump_generation(new: Object, old: Object) -> None:
    """Count a change of the spec, for kinds that count.

    Args:
        new: the object after the change, changed in place.
        old: the object as stored.
    """
    if new.get("kind") in _WITH_GENERATION and _without(new) != _without(old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def _without(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in {"metadata", "status", "kind", "apiVersion"}}


def deduplicate_owners(metadata: Object, *, patched: bool = False) -> list[str]:
    """Keep one of equal owner references (k8s.io/apiserver v0.34, pkg/endpoints/handlers/rest.go).

    Args:
        metadata: the object's metadata, changed in place.
        patched: whether a patch has made it, of which the warning says otherwise.

    Returns:
        A warning, when there were any.
    """
    owners = metadata.get("ownerReferences")
    if not isinstance(owners, list) or len(owners) < 2:
        return []
    kept: list[Any] = []
    twice = []
    for owner in owners:
        if owner in kept:
            twice.append(str(owner.get("uid", "")) if isinstance(owner, dict) else "")
        else:
            kept.append(owner)
    if not twice:
        return []
    metadata["ownerReferences"] = kept
    after = " after mutating admission happens" if patched else ""
    text = (
        f".metadata.ownerReferences contains duplicate entries{after}; API server dedups owner references in 1.20+, "
        "and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
    )
    return [text + ", ".join(twice)]


def mark_deleting(obj: Object, grace: int, now: float) -> None:
    """Set the time at which an object is to be gone.

    Args:
        obj: changed in place.
        grace: seconds from now.
        now: seconds since the epoch.
    """
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = timestamp(now + grace)
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def same(one: Object, other: Object) -> bool:
    """Tell whether two states of an object differ in nothing but the times of `managedFields`.

    Args:
        one: a state.
        other: another.
    """
    if one == other:
        return True
    return _timeless(one) == _timeless(other)


def _timeless(obj: Object) -> Object:
    metadata = dict(obj["metadata"])
    metadata.pop("resourceVersion", None)
    managed = metadata.get("managedFields")
    if managed:
        metadata["managedFields"] = [{key: value for key, value in each.items() if key != "time"} for each in managed]
    return {**obj, "metadata": metadata}
