"""The sandbox's cluster and node pools as the GKE API v1 shows them (google.cloud.container_v1, in its JSON form)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gke_notebook.sandbox.apiserver.app import VERSION
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT, ZONE, NodePool

Object = dict[str, Any]

GKE_VERSION = VERSION.removeprefix("v") + "-gke.0"  # no GKE release has build 0: it is told from a real one
ROOT = "https://container.googleapis.com/v1"
_CREATED = "2026-01-01T00:00:00+00:00"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass(frozen=True)
class GkeState:
    """What the GKE API knows.

    Args:
        pools: the node pools.
        endpoint: host and port of the Kubernetes API server.
        authority_pem: the certificate authority of that server.
        token: the only bearer token that is accepted.
    """

    pools: Sequence[NodePool]
    endpoint: str
    authority_pem: str
    token: str


def cluster(state: GkeState) -> Object:
    """Give the `Cluster`.

    Args:
        state: what the API knows.
    """
    pools = [node_pool(pool) for pool in state.pools]
    return {
        "name": CLUSTER,
        "description": "an embedded GKE in local processes",
        "id": "sandbox",
        "selfLink": f"{ROOT}/projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}",
        "location": LOCATION,
        "zone": LOCATION,
        "locations": [ZONE],
        "endpoint": state.endpoint,
        "masterAuth": {"clusterCaCertificate": base64.b64encode(state.authority_pem.encode()).decode()},
        "initialClusterVersion": GKE_VERSION,
        "currentMasterVersion": GKE_VERSION,
        "currentNodeVersion": GKE_VERSION,
        "currentNodeCount": sum(pool.count for pool in state.pools),
        "createTime": _CREATED,
        "status": "RUNNING",
        "network": "default",
        "subnetwork": "default",
        "nodePools": pools,
        "releaseChannel": {"channel": "REGULAR"},
        "resourceLabels": {"gke-notebook-sandbox": "true"},
    }


def node_pool(pool: NodePool) -> Object:
    """Give a `NodePool`.

    Args:
        pool: the pool.
    """
    config: Object = {
        "machineType": pool.machine_type,
        "diskSizeGb": 100,
        "diskType": "pd-balanced",
        "imageType": "COS_CONTAINERD",
        "oauthScopes": list(_SCOPES),
        "serviceAccount": "default",
        "metadata": {"disable-legacy-endpoints": "true"},
    }
    if pool.spot:
        config["spot"] = True
    if pool.accelerator:
        config["accelerators"] = [
            {"acceleratorCount": str(pool.accelerator_count), "acceleratorType": pool.accelerator}
        ]
        config["taints"] = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    return {
        "name": pool.name,
        "selfLink": f"{ROOT}/projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}/nodePools/{pool.name}",
        "config": config,
        "initialNodeCount": pool.count,
        "locations": [ZONE],
        "maxPodsConstraint": {"maxPodsPerNode": str(pool.max_pods)},
        "management": {"autoRepair": True, "autoUpgrade": True},
        "autoscaling": {},
        "status": "RUNNING",
        "version": GKE_VERSION,
    }


def server_config() -> Object:
    """Give the `ServerConfig`: the one version there is."""
    return {
        "defaultClusterVersion": GKE_VERSION,
        "validMasterVersions": [GKE_VERSION],
        "validNodeVersions": [GKE_VERSION],
        "defaultImageType": "COS_CONTAINERD",
        "validImageTypes": ["COS_CONTAINERD"],
        "channels": [{"channel": "REGULAR", "defaultVersion": GKE_VERSION, "validVersions": [GKE_VERSION]}],
    }
