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

__all__ = [
    "build_spec",
    "check_name",
    "check_namespace",
    "label_value",
    "notes",
    "parse_accelerator",
    "parse_count",
    "parse_cpu",
    "parse_duration",
    "parse_env",
    "parse_framework",
    "parse_image",
    "parse_memory",
    "parse_requirements",
    "suggest_name",
]
