"""From what a user wrote to a checked `TrainSpec`; nothing here talks to a cluster."""

from __future__ import annotations

from gke_notebook.request.build import build_spec
from gke_notebook.request.defaults import notes
from gke_notebook.request.parse import (
    check_name,
    check_namespace,
    label_value,
    parse_accelerator,
    parse_count,
    parse_env,
    parse_framework,
    parse_image,
    suggest_name,
)
from gke_notebook.request.quantities import parse_cpu, parse_duration, parse_memory
from gke_notebook.request.requirements import parse_requirements
from gke_notebook.request.shape import (
    Provision,
    check_class_exists,
    parse_compute_class,
    parse_machine_type,
    parse_provisioning,
    parse_tpu,
    parse_zone,
)

__all__ = [
    "Provision",
    "build_spec",
    "check_class_exists",
    "check_name",
    "check_namespace",
    "label_value",
    "notes",
    "parse_accelerator",
    "parse_compute_class",
    "parse_count",
    "parse_cpu",
    "parse_duration",
    "parse_env",
    "parse_framework",
    "parse_image",
    "parse_machine_type",
    "parse_memory",
    "parse_provisioning",
    "parse_requirements",
    "parse_tpu",
    "parse_zone",
    "suggest_name",
]
