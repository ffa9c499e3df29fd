"""The names every object we make carries: labels, annotations and the limits of names (DESIGN section 5)."""

from __future__ import annotations

import re

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "gke-notebook"
JOB = "gke-notebook.dev/job"
RUN = "gke-notebook.dev/run"
OWNER = "gke-notebook.dev/owner"

# Annotations.
CELL_DIGEST = "gke-notebook.dev/cell-sha256"
PRICE = "gke-notebook.dev/price-usd-per-hour"
FRAMEWORK = "gke-notebook.dev/framework"
PROCS_PER_NODE = "gke-notebook.dev/procs-per-node"
SHIPPED = "gke-notebook.dev/shipped"
CANCELLED = "gke-notebook.dev/cancelled"  # set (to a time) before a Job is suspended for good by its user
NODES_PER_SLICE = "gke-notebook.dev/nodes-per-slice"  # of a JobSet and its pods
LADDER = "gke-notebook.dev/ladder"  # of a Job: the ways its machines are to be had, and where it stands
SIMULATED = "gke-notebook.dev/simulated"  # label "true" on a node whose accelerators are pretended

# Node pools: labels of nodes, and of Compute Engine, whose keys have neither dots nor slashes ("Labeling resources").
LEASE = "gke-notebook.dev/lease-until"  # seconds since 1970
RESOURCE_LEASE = "gke-notebook-lease-until"
RESOURCE_OWNER = "gke-notebook-owner"
RESOURCE_DIGEST = "gke-notebook-digest"  # of the pool as it was asked for, so that asking twice makes one
RESOURCE_MANAGED_BY = "managed-by"

# A Job's pods are named after it and an index, and a pod's hostname is a DNS label of at most 63 characters
# (Kubernetes documentation, "Indexed Job"; 2026-11): "-" and five digits of an index are kept free.
MAX_NAME_LENGTH = 57
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, because the name is a Service's too

# Indexed Job (Kubernetes documentation, "Jobs", 2026-11).
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
JOB_NAME = "batch.kubernetes.io/job-name"

# JobSet (sigs.k8s.io/jobset v0.10.1, api/jobset/v1alpha2).
JOBSET_NAME = "jobset.sigs.k8s.io/jobset-name"
JOBSET_UID = "jobset.sigs.k8s.io/jobset-uid"
JOBSET_JOB_INDEX = "jobset.sigs.k8s.io/job-index"
EXCLUSIVE_TOPOLOGY = "alpha.jobset.sigs.k8s.io/exclusive-topology"


def selector(job: str) -> str:
    """Give the label selector that finds everything of one job.

    Args:
        job: the job's name.

    Example:
        >>> selector("digits")
        'app.kubernetes.io/managed-by=gke-notebook,gke-notebook.dev/job=digits'
    """
    return f"{MANAGED_BY}={MANAGER},{JOB}={job}"
