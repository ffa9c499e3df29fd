"""The project's quotas: which ones a machine takes from, their limits, and what is used; pure.

Metrics: Compute Engine's ``regions.get`` for the older accelerators (google-cloud-compute 1.57.0, `Quota.Metric`), and
the quotas with dimensions for H100 and newer GPUs and v6e and newer TPUs, which only Cloud Quotas shows (seen in public
reports of 2026). That the newer ones have a preemptible form beside them, and the family names of v5p and tpu7x, is
assumed. The limits are made up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from gke_notebook.sandbox.gke import capacity, shapes
from gke_notebook.sandbox.gke.faults import QUOTA, Fault
from gke_notebook.sandbox.gke.state import Reservation
from gke_notebook.sandbox.instances import Instance
from gke_notebook.sandbox.pools import LOCATION

GLOBAL = "GPUS_ALL_REGIONS"
GPU_FAMILY, TPU_FAMILY = "GPUS_PER_GPU_FAMILY", "TPUS_PER_TPU_FAMILY"
PREEMPTIBLE = "PREEMPTIBLE_"

_METRICS = {
    "nvidia-tesla-t4": "NVIDIA_T4_GPUS",
    "nvidia-tesla-p4": "NVIDIA_P4_GPUS",
    "nvidia-tesla-p100": "NVIDIA_P100_GPUS",
    "nvidia-tesla-v100": "NVIDIA_V100_GPUS",
    "nvidia-l4": "NVIDIA_L4_GPUS",
    "nvidia-tesla-a100": "NVIDIA_A100_GPUS",
    "nvidia-a100-80gb": "NVIDIA_A100_80GB_GPUS",
    "tpu-v4-podslice": "TPU_PODSLICE_V4",
    "tpu-v5-lite-podslice": "TPU_LITE_PODSLICE_V5",
    "nvidia-h100-80gb": f"{GPU_FAMILY}:NVIDIA_H100",
    "nvidia-h100-mega-80gb": f"{GPU_FAMILY}:NVIDIA_H100_MEGA",
    "nvidia-h200-141gb": f"{GPU_FAMILY}:NVIDIA_H200",
    "nvidia-b200": f"{GPU_FAMILY}:NVIDIA_B200",
    "nvidia-gb200": f"{GPU_FAMILY}:NVIDIA_GB200",
    "nvidia-rtx-pro-6000": f"{GPU_FAMILY}:NVIDIA_RTX_PRO_6000",
    "tpu-v5p-slice": f"{TPU_FAMILY}:CT5P",
    "tpu-v6e-slice": f"{TPU_FAMILY}:CT6E",
    "tpu7x": f"{TPU_FAMILY}:TPU7X",
}
_HERE = {
    "NVIDIA_T4_GPUS": 8, "NVIDIA_P4_GPUS": 4, "NVIDIA_P100_GPUS": 4, "NVIDIA_V100_GPUS": 8, "NVIDIA_L4_GPUS": 20,
    "NVIDIA_A100_GPUS": 16, "NVIDIA_A100_80GB_GPUS": 8, "TPU_PODSLICE_V4": 0, "TPU_LITE_PODSLICE_V5": 64,
    "GPUS_PER_GPU_FAMILY:NVIDIA_H100": 8, "GPUS_PER_GPU_FAMILY:NVIDIA_H100_MEGA": 0,
    "GPUS_PER_GPU_FAMILY:NVIDIA_H200": 8, "GPUS_PER_GPU_FAMILY:NVIDIA_B200": 0, "GPUS_PER_GPU_FAMILY:NVIDIA_GB200": 0,
    "GPUS_PER_GPU_FAMILY:NVIDIA_RTX_PRO_6000": 4, "TPUS_PER_TPU_FAMILY:CT5P": 16, "TPUS_PER_TPU_FAMILY:CT6E": 32,
    "TPUS_PER_TPU_FAMILY:TPU7X": 0,
}  # fmt: skip
_ELSEWHERE = {"NVIDIA_T4_GPUS": 1, "NVIDIA_L4_GPUS": 1}
_CPUS = 2400
_GLOBAL_LIMIT = 64


def metrics() -> tuple[str, ...]:
    """Name every accelerator metric, preemptible forms included; those with a dimension as ``METRIC:FAMILY``."""
    return tuple(name for metric in dict.fromkeys(_METRICS.values()) for name in (metric, _preemptible(metric)))


def _preemptible(metric: str) -> str:
    # The one regional metric of H100s is the preemptible one (Compute Engine API, `Quota.metric`).
    return "PREEMPTIBLE_NVIDIA_H100_GPUS" if metric == f"{GPU_FAMILY}:NVIDIA_H100" else PREEMPTIBLE + metric


def metric_of(accelerator: str, provisioning: str) -> str:
    """Name the quota that an accelerator is taken from, empty when it has none.

    Args:
        accelerator: the GPU type or the TPU label value.
        provisioning: ``standard``, ``spot``, ``preemptible`` or ``flex-start``; the last three are preemptible.
    """
    metric = _METRICS.get(accelerator, "")
    return _preemptible(metric) if metric and provisioning != "standard" else metric


def limit(metric: str, region: str, faults: Iterable[Fault] = ()) -> float:
    """Give a quota's limit.

    Args:
        metric: its name, with the family where it has dimensions.
        region: where; not looked at for the global one.
        faults: those of kind ``quota`` count.
    """
    for fault in faults:
        if fault.kind == QUOTA and fault.metric == metric and fault.region in ("", region):
            return fault.limit
    if metric == GLOBAL:
        return _GLOBAL_LIMIT
    if metric == "CPUS":
        return _CPUS
    plain = metric
    if metric == "PREEMPTIBLE_NVIDIA_H100_GPUS":
        plain = f"{GPU_FAMILY}:NVIDIA_H100"
    table = _HERE if region == LOCATION else _ELSEWHERE
    return table.get(plain.removeprefix(PREEMPTIBLE), 0)


def taken(instance: Instance) -> dict[str, float]:
    """Give what a machine takes from the project's quotas; a machine of a reservation takes nothing beyond it.

    Args:
        instance: the machine.
    """
    if instance.reservation:
        return {}
    return dict(_taken(
        instance.accelerator or instance.tpu_accelerator, instance.accelerator_count, instance.provisioning,
        0 if not instance.runs_processes else instance.vcpus,
    ))  # fmt: skip


def _taken(accelerator: str, count: int, provisioning: str, vcpus: int) -> Iterator[tuple[str, float]]:
    metric = metric_of(accelerator, provisioning)
    if metric:
        yield metric, float(count)
    if accelerator and not shapes.is_tpu(accelerator):
        yield GLOBAL, float(count)
    if not shapes.is_tpu(accelerator) and vcpus:
        yield "CPUS", float(vcpus)


def used(instances: Iterable[Instance], reservations: Iterable[Reservation] = ()) -> Counter[tuple[str, str]]:
    """Add up what is used, by metric and region (the global one by an empty region).

    Args:
        instances: the machines; those that could not be had take nothing.
        reservations: what is reserved takes quota whether it is used or not.
    """
    total: Counter[tuple[str, str]] = Counter()
    for instance in instances:
        if instance.admitted:
            _add(total, taken(instance), capacity.region_of(instance.zone))
    for entry in reservations:
        kind = shapes.machine(entry.machine_type)
        if kind is not None:
            label = entry.accelerator or kind.accelerator
            count = entry.accelerator_count or kind.accelerator_count
            each = dict(_taken(label, count, "standard", kind.vcpus))
            _add(total, {m: n * entry.count for m, n in each.items()}, capacity.region_of(entry.zone))
    return total


def _add(total: Counter[tuple[str, str]], amounts: Mapping[str, float], region: str) -> None:
    for metric, number in amounts.items():
        total[metric, "" if metric == GLOBAL else region] += int(number)


def short(
    wanted: Mapping[str, float], region: str, usage: Counter[tuple[str, str]], faults: Iterable[Fault]
) -> tuple[str, float, float, float] | None:
    """Say which quota does not suffice: its metric, what is wanted, the limit and what is used; None when all do.

    Args:
        wanted: amounts by metric.
        region: where.
        usage: from `used`.
        faults: those of kind ``quota`` count.
    """
    faults = list(faults)
    for metric, number in wanted.items():
        where = "" if metric == GLOBAL else region
        most, have = limit(metric, region, faults), float(usage[metric, where])
        if have + number > most:
            return metric, number, most, have
    return None
