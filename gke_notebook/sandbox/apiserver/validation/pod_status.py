"""Checks of updates of a pod's status.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver.status import FieldError, field_forbidden

Object = dict[str, Any]


def check_pod_status(new: Object, old: Object) -> list[FieldError]:
    """Check an update of a pod's status: an ended container stays ended unless it may be restarted.

    Args:
        new: the pod after the change.
        old: the pod as stored.
    """
    errors: list[FieldError] = []
    policy = new["spec"].get("restartPolicy", "Always")
    after, before = new.get("status") or {}, old.get("status") or {}
    restarting = {
        container.get("name")
        for container in new["spec"].get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    # Init containers end for good only where the pod is never restarted.
    for part, allowed in (("containerStatuses", policy), ("initContainerStatuses", policy)):
        if allowed == "Always":
            continue
        now = {each.get("name"): each.get("state") or {} for each in after.get(part) or ()}
        for index, status in enumerate(before.get(part) or ()):
            ended = (status.get("state") or {}).get("terminated")
            name = status.get("name")
            if ended is None or name not in now or name in restarting:
                continue
            if allowed == "OnFailure" and ended.get("exitCode", 0) != 0:
                continue
            if "terminated" not in now[name]:
                text = "may not be transitioned to non-terminated state"
                errors.append(field_forbidden(f"status.{part}[{index}].state", text))
    return errors
