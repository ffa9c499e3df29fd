"""A job's objects in the order in which they are created: its ConfigMap, its headless Service, its Indexed Job.

A job of several TPU slices is a ConfigMap and a JobSet, which makes the rest.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gke_notebook import names
from gke_notebook.errors import InvalidInput
from gke_notebook.manifests.facts import NOTHING_KNOWN, ClusterFacts
from gke_notebook.manifests.job import job, service
from gke_notebook.manifests.jobset import API_VERSION, jobset
from gke_notebook.manifests.program import config_map
from gke_notebook.specs import TrainSpec

if TYPE_CHECKING:
    from gke_notebook.objects import Manifest

_SHIPPED_LIMIT = 4000  # characters; all annotations of an object share 256 KiB


def render(spec: TrainSpec, facts: ClusterFacts = NOTHING_KNOWN) -> tuple[Manifest, ...]:
    """Give the Kubernetes objects of a job; `kubectl apply` of them works without this package.

    Args:
        spec: the job.
        facts: the cluster it is for; without them, a Standard cluster without extra networks and JobSets.

    Raises:
        InvalidInput: the program is too large to ship, a variable's name is taken, there is no such accelerator, or
            the cluster cannot do it.

    Example:
        >>> from gke_notebook.specs import Program
        >>> spec = TrainSpec("digits", Program("print(1)"), "research", run="r1", owner="ada", image="python:3.12")
        >>> [manifest["kind"] for manifest in render(spec)]
        ['ConfigMap', 'Service', 'Job']
    """
    labels = _labels(spec)
    annotations = _annotations(spec)
    if spec.slices > 1:
        if not facts.jobsets:
            one = "" if spec.tpu is None else f"{spec.tpu.type}:{spec.tpu.topology}"
            raise InvalidInput(
                f"{spec.slices} TPU slices take a JobSet, which this cluster does not serve ({API_VERSION}): "
                f"have it installed (https://jobset.sigs.k8s.io), or take one slice: --tpu {one}"
            )
        return (config_map(spec, labels, annotations), jobset(spec, labels, annotations, facts))
    return (
        config_map(spec, labels, annotations),
        service(spec, labels, annotations),
        job(spec, labels, annotations, facts),
    )


def _labels(spec: TrainSpec) -> dict[str, str]:
    return {
        names.MANAGED_BY: names.MANAGER,
        names.JOB: spec.name,
        names.RUN: spec.run,
        names.OWNER: spec.owner,
    }


def _annotations(spec: TrainSpec) -> dict[str, str]:
    annotations = {
        names.CELL_DIGEST: hashlib.sha256(spec.program.cell.encode()).hexdigest(),
        names.FRAMEWORK: spec.framework,
        names.PROCS_PER_NODE: str(spec.procs_per_node),
    }
    if spec.slices > 1:
        annotations[names.NODES_PER_SLICE] = str(spec.nodes_per_slice)
    if spec.price_usd_hour is not None:
        annotations[names.PRICE] = f"{spec.price_usd_hour:.4f}"
    shipped = [f"{name.kind} {name.name}" for name in spec.program.names]
    shipped += [f"file {file.path}" for file in spec.program.files]
    if shipped:
        text = ", ".join(shipped)
        annotations[names.SHIPPED] = text if len(text) <= _SHIPPED_LIMIT else text[:_SHIPPED_LIMIT] + " ..."
    return annotations
