"""Which Google Cloud quota an accelerator is taken from; pure data.

Sources: google-cloud-compute 1.57.0, `Quota.Metric`, for the quotas that `regions.get` shows; public reports of 2026
for those with dimensions (H100 and newer GPUs, v6e and newer TPUs), which only the Cloud Quotas API shows. The family
names of v5p and tpu7x, and that the quotas with dimensions have a preemptible form, could not be confirmed. Spot and
flex-start VMs take from the preemptible quota.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL_REGIONS = "GPUS_ALL_REGIONS"  # of the project, over all regions and types of GPU
_PREEMPTIBLE = "PREEMPTIBLE_"
_GPUS, _TPUS = "GPUS_PER_GPU_FAMILY", "TPUS_PER_TPU_FAMILY"
_METRICS: dict[str, tuple[str, str]] = {
    "nvidia-tesla-t4": ("NVIDIA_T4_GPUS", ""),
    "nvidia-tesla-p4": ("NVIDIA_P4_GPUS", ""),
    "nvidia-tesla-p100": ("NVIDIA_P100_GPUS", ""),
    "nvidia-tesla-v100": ("NVIDIA_V100_GPUS", ""),
    "nvidia-l4": ("NVIDIA_L4_GPUS", ""),
    "nvidia-tesla-a100": ("NVIDIA_A100_GPUS", ""),
    "nvidia-a100-80gb": ("NVIDIA_A100_80GB_GPUS", ""),
    "tpu-v4-podslice": ("TPU_PODSLICE_V4", ""),
    "tpu-v5-lite-podslice": ("TPU_LITE_PODSLICE_V5", ""),
    "tpu-v5-lite-device": ("TPU_LITE_DEVICE_V5", ""),
    "nvidia-h100-80gb": (_GPUS, "NVIDIA_H100"),
    "nvidia-h100-mega-80gb": (_GPUS, "NVIDIA_H100_MEGA"),
    "nvidia-h200-141gb": (_GPUS, "NVIDIA_H200"),
    "nvidia-b200": (_GPUS, "NVIDIA_B200"),
    "nvidia-gb200": (_GPUS, "NVIDIA_GB200"),
    "nvidia-rtx-pro-6000": (_GPUS, "NVIDIA_RTX_PRO_6000"),
    "tpu-v5p-slice": (_TPUS, "CT5P"),
    "tpu-v6e-slice": (_TPUS, "CT6E"),
    "tpu7x": (_TPUS, "TPU7X"),
}


@dataclass(frozen=True)
class QuotaMetric:
    """One quota of a project.

    Args:
        metric: its name as Compute Engine writes it, for example ``PREEMPTIBLE_NVIDIA_L4_GPUS``.
        family: the value of its dimension, for example ``NVIDIA_H100``; empty for a quota of its own.
    """

    metric: str
    family: str = ""

    @property
    def dimension(self) -> str:
        """The name of the dimension besides the region: ``gpu_family``, ``tpu_family`` or empty."""
        if not self.family:
            return ""
        return "gpu_family" if self.metric.endswith(_GPUS) else "tpu_family"

    def __str__(self) -> str:
        return f"{self.metric} ({self.family})" if self.family else self.metric


def quota_metrics(label: str, provisioning: str) -> tuple[QuotaMetric, ...]:
    """Name the quotas that accelerators of one type are taken from; each counts GPUs or TPU chips.

    A machine of a reservation takes nothing beyond what the reservation took when it was made.

    Args:
        label: the value of the node label, for example ``nvidia-l4``.
        provisioning: ``on-demand``, ``spot``, ``flex-start`` or ``reservation``.

    Example:
        >>> [str(one) for one in quota_metrics("nvidia-l4", "spot")]
        ['PREEMPTIBLE_NVIDIA_L4_GPUS', 'GPUS_ALL_REGIONS']
    """
    if label not in _METRICS or provisioning == "reservation":
        return ()
    metric, family = _METRICS[label]
    if provisioning in {"spot", "flex-start"}:
        # H100s alone have a preemptible quota without dimensions (google-cloud-compute 1.57.0).
        metric, family = (
            (f"{_PREEMPTIBLE}NVIDIA_H100_GPUS", "") if family == "NVIDIA_H100" else (_PREEMPTIBLE + metric, family)
        )
    own = QuotaMetric(metric, family)
    return (own, QuotaMetric(ALL_REGIONS)) if label.startswith("nvidia-") else (own,)
