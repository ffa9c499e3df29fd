"""What exists on GKE and what it costs: accelerators, machine types and list prices; plain data, read on first use."""

from __future__ import annotations

from gke_notebook.catalog.accelerators import Accelerator, accelerator, accelerators, by_label, tpu_names
from gke_notebook.catalog.machines import MachineType, allocatable, machine_for, machine_type, machine_types
from gke_notebook.catalog.prices import Price, price, regions, zones

__all__ = [
    "Accelerator",
    "MachineType",
    "Price",
    "accelerator",
    "accelerators",
    "allocatable",
    "by_label",
    "machine_for",
    "machine_type",
    "machine_types",
    "price",
    "regions",
    "tpu_names",
    "zones",
]
