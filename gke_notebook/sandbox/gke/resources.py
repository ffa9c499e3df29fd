"""The cluster and its node pools as the GKE API v1 shows them (google.cloud.container_v1, in its JSON form)."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.sandbox.apiserver.app import VERSION
from gke_notebook.sandbox.gke import shapes
from gke_notebook.sandbox.gke.clock import timestamp
from gke_notebook.sandbox.gke.seeds import CREATED
from gke_notebook.sandbox.gke.state import Pool, State
from gke_notebook.sandbox.pools import CLUSTER, LOCATION, PROJECT

Object = dict[str, Any]

GKE_VERSION = VERSION.removeprefix("v") + "-gke.0"  # no GKE release has build 0: it is told from a real one
ROOT = "https://container.googleapis.com/v1"
COMPUTE = "https://www.googleapis.com/compute/v1"


@dataclass(frozen=True)
class Settings:
    """What the GKE API knows beside the fleet.

    Args:
        endpoint: host and port of the Kubernetes API server.
        authority_pem: the certificate authority of that server.
        token: the only bearer token that is accepted.
    """

    endpoint: str
    authority_pem: str
    token: str = field(repr=False)


def cluster(state: State, settings: Settings) -> Object:
    """Give the ``Cluster``.

    Args:
        state: the fleet's.
        settings: where the cluster is.
    """
    pools = [node_pool(pool) for pool in state.pools.values()]
    status = "RECONCILING" if any(one.status != "DONE" for one in state.operations.values()) else "RUNNING"
    return {
        "name": CLUSTER,
        "description": "an embedded GKE in local processes",
        "id": "sandbox",
        "selfLink": f"{ROOT}/projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}",
        "location": LOCATION,
        "zone": LOCATION,
        "locations": sorted({zone for pool in state.pools.values() for zone in pool.spec["locations"]}),
        "endpoint": settings.endpoint,
        "masterAuth": {"clusterCaCertificate": base64.b64encode(settings.authority_pem.encode()).decode()},
        "initialClusterVersion": GKE_VERSION,
        "currentMasterVersion": GKE_VERSION,
        "currentNodeVersion": GKE_VERSION,
        "currentNodeCount": sum(one.booted for one in state.instances.values()),
        "createTime": timestamp(CREATED),
        "status": status,
        "network": "default",
        "subnetwork": "default",
        "nodePools": pools,
        "releaseChannel": {"channel": "REGULAR"},
        "resourceLabels": {"gke-notebook-sandbox": "true"},
    }


def node_pool(pool: Pool) -> Object:
    """Give the ``NodePool``.

    Args:
        pool: the pool.
    """
    shown: Object = {
        **pool.spec,
        "selfLink": f"{ROOT}/projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}/nodePools/{pool.name}",
        "instanceGroupUrls": [
            f"{COMPUTE}/projects/{PROJECT}/zones/{zone}/instanceGroupManagers/{shapes.group_name(pool.name, zone)}"
            for zone in pool.spec["locations"]
        ],
        "podIpv4CidrSize": 24,
        "status": pool.status,
        "version": GKE_VERSION,
        "etag": etag(pool),
    }
    if pool.conditions:
        shown["conditions"] = pool.conditions
        shown["statusMessage"] = pool.conditions[0]["message"]
    return shown


def etag(pool: Pool) -> str:
    """Give a text that changes with a pool's settings.

    Args:
        pool: the pool.
    """
    return hashlib.sha256(json.dumps(pool.spec, sort_keys=True).encode()).hexdigest()[:16]


def server_config() -> Object:
    """Give the ``ServerConfig``: the one version there is."""
    return {
        "defaultClusterVersion": GKE_VERSION,
        "validMasterVersions": [GKE_VERSION],
        "validNodeVersions": [GKE_VERSION],
        "defaultImageType": "COS_CONTAINERD",
        "validImageTypes": ["COS_CONTAINERD", "UBUNTU_CONTAINERD"],
        "channels": [{"channel": "REGULAR", "defaultVersion": GKE_VERSION, "validVersions": [GKE_VERSION]}],
    }
