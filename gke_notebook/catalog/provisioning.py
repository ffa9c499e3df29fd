"""How a machine can be had: on demand, spot, flex-start or by reservation.

Facts: dstackai/gpuhunt (2026-08-19) and google/skills (2026-08-21) for the shapes without an on-demand path; GKE's
own autoscaler (GoogleCloudPlatform/cluster-autoscaler, 2026-08-21) for those that the Dynamic Workload Scheduler leaves
out.
"""

from __future__ import annotations

from typing import Literal, get_args

from gke_notebook.catalog.machines import MachineType, family, machine_type

Provisioning = Literal["on-demand", "spot", "flex-start", "reservation"]
PROVISIONING: tuple[str, ...] = get_args(Provisioning)
MAX_FLEX_SECONDS = 7 * 86400  # the longest that a flex-start VM runs (GKE documentation, 2026-06-09)


def models(machine: MachineType | str) -> frozenset[str]:
    """Say which provisioning models a machine can be had by.

    Args:
        machine: the machine or its name; GPUs attached to an N1 machine count only when they are on it.

    Raises:
        InvalidInput: the machine type is not known.

    Example:
        >>> sorted(models("a3-ultragpu-8g"))
        ['flex-start', 'reservation', 'spot']
    """
    found = machine_type(machine) if isinstance(machine, str) else machine
    offered = frozenset(family(found.name)["models"].split())
    # The Dynamic Workload Scheduler is for accelerators.
    return offered if found.accelerator else offered - {"flex-start"}


def why_not(machine: MachineType | str, provisioning: str) -> str:
    """Say why a machine cannot be had by a provisioning model, and how it can; empty when it can.

    Args:
        machine: the machine or its name.
        provisioning: one of `PROVISIONING`.

    Raises:
        InvalidInput: the machine type is not known.
    """
    offered = models(machine)
    if provisioning in offered:
        return ""
    name = machine if isinstance(machine, str) else machine.name
    others = ", ".join(word for word in PROVISIONING if word in offered)
    reason = {
        "on-demand": "Google sells it only by spot, flex-start or reservation",
        "flex-start": "the Dynamic Workload Scheduler does not offer it",
    }.get(provisioning, "it is not offered")
    return f"{name} cannot be had {_adverb(provisioning)}: {reason}; choose one of: {others}"


def _adverb(provisioning: str) -> str:
    return {"on-demand": "on demand", "spot": "as spot", "reservation": "by reservation"}.get(
        provisioning, f"by {provisioning}"
    )
