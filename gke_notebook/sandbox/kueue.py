"""The names that Kueue's API uses, for the API server and the controllers.

Source: sigs.k8s.io/kueue v0.15.0 (`apis/kueue/v1beta1`, `pkg/controller/constants`). Version v1beta1 is the one that
its definitions store.
"""

from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import Resource

Object = dict[str, Any]

GROUP, VERSION = "kueue.x-k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

QUEUE_LABEL = f"{GROUP}/queue-name"
PRIORITY_LABEL = f"{GROUP}/priority-class"
MAX_TIME_LABEL = f"{GROUP}/max-exec-time-seconds"
PREBUILT_LABEL = f"{GROUP}/prebuilt-workload-name"
JOB_UID_LABEL = f"{GROUP}/job-uid"
POD_SET_LABEL = f"{GROUP}/podset"
WORKLOAD_ANNOTATION = f"{GROUP}/workload"
STOPPING_ANNOTATION = f"{GROUP}/stopping"
FINALIZER = f"{GROUP}/resource-in-use"
DEFAULT_QUEUE = "default"

CLUSTER_QUEUES = Resource(GROUP, VERSION, "clusterqueues", "ClusterQueue", namespaced=False)
LOCAL_QUEUES = Resource(GROUP, VERSION, "localqueues", "LocalQueue")
RESOURCE_FLAVORS = Resource(GROUP, VERSION, "resourceflavors", "ResourceFlavor", namespaced=False)
WORKLOADS = Resource(GROUP, VERSION, "workloads", "Workload")
WORKLOAD_PRIORITY_CLASSES = Resource(
    GROUP, VERSION, "workloadpriorityclasses", "WorkloadPriorityClass", namespaced=False
)
KINDS = (CLUSTER_QUEUES, LOCAL_QUEUES, RESOURCE_FLAVORS, WORKLOADS, WORKLOAD_PRIORITY_CLASSES)


def queue_name(item: Object) -> str:
    """Give the name of the LocalQueue that a Job or JobSet is for; empty where it is for none.

    Args:
        item: the Job or JobSet.
    """
    labels = item["metadata"].get("labels")
    return str((labels if isinstance(labels, dict) else {}).get(QUEUE_LABEL) or "")
