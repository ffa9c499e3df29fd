"""The JobSet of a job of several TPU slices: one Indexed Job for each slice.

Fields: sigs.k8s.io/jobset v0.10.1, api/jobset/v1alpha2; one slice for each node pool: its example of TPU multislice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_notebook import names
from gke_notebook.launch import contract
from gke_notebook.manifests import placement
from gke_notebook.manifests.facts import NOTHING_KNOWN, ClusterFacts
from gke_notebook.manifests.job import KEEP_SECONDS, metadata, pod_template
from gke_notebook.specs import TrainSpec

if TYPE_CHECKING:
    from gke_notebook.objects import Manifest

API_VERSION = "jobset.x-k8s.io/v1alpha2"


def jobset(
    spec: TrainSpec, labels: dict[str, str], annotations: dict[str, str], facts: ClusterFacts = NOTHING_KNOWN
) -> Manifest:
    """Give the JobSet; it makes the headless Service that names the pods itself.

    The chips of a slice work in step, so a slice that fails is not mended: with retries, all slices start again.

    Args:
        spec: the job.
        labels: of the JobSet, its Jobs and their pods.
        annotations: of the same.
        facts: its cluster.

    Raises:
        InvalidInput: a variable's name is taken, there is no such TPU, or the cluster has no such choice.
    """
    job_spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": spec.nodes_per_slice,
        "parallelism": spec.nodes_per_slice,
        "backoffLimitPerIndex": 0,
        "maxFailedIndexes": 0,
    }
    if spec.max_duration is not None:
        job_spec["activeDeadlineSeconds"] = spec.max_duration
    job_spec["template"] = pod_template(spec, labels, annotations, facts)
    whole = metadata(spec, labels, annotations)
    if spec.nodes_per_slice > 1:
        # The hosts of a slice are one node pool, which no pod of another slice may enter.
        whole["annotations"][names.EXCLUSIVE_TOPOLOGY] = placement.NODE_POOL
    replicated = {
        "name": contract.SLICE_JOB,
        "replicas": spec.slices,
        "template": {"metadata": {"labels": dict(labels), "annotations": dict(annotations)}, "spec": job_spec},
    }
    jobset_spec: dict[str, Any] = {
        "replicatedJobs": [replicated],
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        "ttlSecondsAfterFinished": KEEP_SECONDS,
    }
    if spec.max_retries:
        jobset_spec["failurePolicy"] = {
            "maxRestarts": spec.max_retries,
            "rules": [{"name": "deadline", "action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]}],
        }
    return {"apiVersion": API_VERSION, "kind": "JobSet", "metadata": whole, "spec": jobset_spec}
