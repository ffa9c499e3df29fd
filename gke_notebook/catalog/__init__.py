"""What exists on GKE and what it costs: accelerators, machine types and list prices; plain data, read on first use."""

from __future__ import annotations

from gke_notebook.catalog.accelerators import Accelerator, accelerator, accelerators, by_label
from gke_notebook.catalog.machines import MachineType, allocatable, attached, machine_for, machine_type, machine_types
from gke_notebook.catalog.networks import Daemon, Network, network
from gke_notebook.catalog.offers import Offer, offers, why_not_there
from gke_notebook.catalog.pick import TpuShape, pick_tpu
from gke_notebook.catalog.prices import Price, committed, no_rate, price, rate, region_of, regions, zones
from gke_notebook.catalog.provisioning import MAX_FLEX_SECONDS, PROVISIONING, Provisioning, models, why_not
from gke_notebook.catalog.sharing import Sharing, sharing
from gke_notebook.catalog.topologies import Topology, parse_tpu, topologies, topology, variants
from gke_notebook.catalog.tpus import TOPOLOGY_LABEL, TPU_LABEL, TPU_RESOURCE, Tpu, tpu, tpu_by_label, tpu_names, tpus

__all__ = [
    "MAX_FLEX_SECONDS",
    "PROVISIONING",
    "TOPOLOGY_LABEL",
    "TPU_LABEL",
    "TPU_RESOURCE",
    "Accelerator",
    "Daemon",
    "MachineType",
    "Network",
    "Offer",
    "Price",
    "Provisioning",
    "Sharing",
    "Topology",
    "Tpu",
    "TpuShape",
    "accelerator",
    "accelerators",
    "allocatable",
    "attached",
    "by_label",
    "committed",
    "machine_for",
    "machine_type",
    "machine_types",
    "models",
    "network",
    "no_rate",
    "offers",
    "parse_tpu",
    "pick_tpu",
    "price",
    "rate",
    "region_of",
    "regions",
    "sharing",
    "topologies",
    "topology",
    "tpu",
    "tpu_by_label",
    "tpu_names",
    "tpus",
    "variants",
    "why_not",
    "why_not_there",
    "zones",
]
