"""What goes wrong on demand: stockouts, quotas, failing APIs, slow pulls; plain data and what each one matches."""

from __future__ import annotations

import msgspec

from gke_notebook.sandbox.gke.failures import invalid

STOCKOUT, QUOTA, API_ERRORS, SLOW_PULL = "stockout", "quota", "api-errors", "slow-pull"
KINDS = (STOCKOUT, QUOTA, API_ERRORS, SLOW_PULL)
CODES = (403, 429, 500, 503)
APIS = ("container", "compute", "cloudquotas", "billing")


class Fault(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that goes wrong until it is removed.

    Args:
        id: given by the fleet.
        kind: ``stockout``, ``quota``, ``api-errors`` or ``slow-pull``.
        accelerator: stockout: the GPU type or the TPU label value; empty for machines of any kind.
        machine_type: stockout: only this machine type; empty for any.
        zone: stockout: only there; empty for every zone.
        spot: stockout: only spot machines (true), only others (false), or both (null).
        metric: quota: the metric, for example ``NVIDIA_L4_GPUS`` or ``GPUS_PER_GPU_FAMILY:NVIDIA_H100``.
        region: quota: where; empty for the cluster's region.
        limit: quota: the limit in place of the seeded one.
        code: api-errors: the HTTP status: 403, 429, 500 or 503.
        rate: api-errors: the share of requests that fail, above 0 and at most 1.
        count: api-errors: how many requests fail before the fault is gone; 0 for all.
        api: api-errors: ``container``, ``compute``, ``cloudquotas`` or ``billing``; empty for all four.
        method: api-errors: only this HTTP method; empty for all.
        image: slow-pull: the images' pattern, as of a shell.
        seconds: slow-pull: how long each pull takes, in real seconds.
    """

    kind: str
    id: str = ""
    accelerator: str = ""
    machine_type: str = ""
    zone: str = ""
    spot: bool | None = None
    metric: str = ""
    region: str = ""
    limit: float = 0.0
    code: int = 503
    rate: float = 1.0
    count: int = 0
    api: str = ""
    method: str = ""
    image: str = "*"
    seconds: float = 60.0

    def stocks_out(self, *, accelerator: str, machine_type: str, zone: str, spot: bool) -> bool:
        """Say whether a machine cannot be had because of this fault.

        Args:
            accelerator: its GPU type or TPU label value, empty without one.
            machine_type: its machine type.
            zone: where it would be.
            spot: whether it is a spot machine.
        """
        return (
            self.kind == STOCKOUT
            and self.accelerator in ("", accelerator)
            and self.machine_type in ("", machine_type)
            and self.zone in ("", zone)
            and self.spot in (None, spot)
        )

    def fails(self, api: str, method: str) -> bool:
        """Say whether a request is answered with an error because of this fault.

        Args:
            api: which API was asked.
            method: the HTTP method.
        """
        return self.kind == API_ERRORS and self.api in ("", api) and self.method in ("", method)


def check(fault: Fault) -> None:
    """Refuse a fault that can never do anything.

    Args:
        fault: as it was asked for.

    Raises:
        ApiFailure: what is wrong with it.
    """
    if fault.kind not in KINDS:
        raise invalid(f"kind must be one of {', '.join(KINDS)}, not {fault.kind!r}")
    if fault.kind == API_ERRORS and fault.code not in CODES:
        raise invalid(f"code must be one of {', '.join(map(str, CODES))}, not {fault.code}")
    if fault.kind == API_ERRORS and fault.api not in ("", *APIS):
        raise invalid(f"api must be one of {', '.join(APIS)}, not {fault.api!r}")
    if fault.kind == QUOTA and (not fault.metric or fault.limit < 0):
        raise invalid("a quota fault names a metric and a limit of at least 0")
    if fault.kind == API_ERRORS and not 0 < fault.rate <= 1:
        raise invalid(f"rate must be above 0 and at most 1, not {fault.rate:g}")
    if fault.count < 0 or not 0 <= fault.seconds <= 3600:
        raise invalid("count must not be negative, and seconds must be between 0 and 3600")
