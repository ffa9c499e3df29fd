"""What GPUDirect adds to a pod: extra networks, variables, libraries of the node, a daemon beside the ranks.

Only nodes whose GPUs all belong to the pod have it, and only where the cluster has the networks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from gke_notebook import catalog
from gke_notebook.catalog.networks import INTERFACES
from gke_notebook.manifests.facts import ClusterFacts
from gke_notebook.manifests.hosts import host_of
from gke_notebook.specs import TrainSpec

_DEFAULT = "default"


def wanted(spec: TrainSpec) -> catalog.Network | None:
    """Give the network of a job's machines that would carry its traffic between nodes; None when there is none.

    Args:
        spec: the job.
    """
    machine = host_of(spec)
    if machine is None or spec.nodes < 2 or spec.accelerator is None:
        return None
    return catalog.network(machine) if machine.accelerator_count == spec.accelerator.count else None


def usable(spec: TrainSpec, facts: ClusterFacts) -> catalog.Network | None:
    """Give the network that a job's pods use; None where there is none, or the cluster lacks what it takes.

    Args:
        spec: the job.
        facts: its cluster.
    """
    found = wanted(spec)
    if found is None or facts.autopilot or _interfaces(found, facts.networks) is None:
        return None
    return found


def note(spec: TrainSpec, facts: ClusterFacts) -> str:
    """Say whether a job's nodes talk by GPUDirect, and what it takes; empty where it is not offered.

    Args:
        spec: the job.
        facts: its cluster.
    """
    found = wanted(spec)
    if found is None:
        return ""
    if facts.autopilot:
        return f"{found.title} is not wired, because Autopilot allows no paths of the node; one network carries all"
    if usable(spec, facts) is None:
        count = len(facts.networks)
        has = f"{count} of the {found.networks} networks" if count else "none of the networks"
        return (
            f"{found.title} is not wired: the cluster has {has} that it takes (Network objects of networking.gke.io, "
            f"usually {found.interfaces[1][1]} to {found.interfaces[-1][1]}); the nodes talk over one network interface"
        )
    return f"{found.title} is wired; the DaemonSet {found.installer} must have run on the nodes"


def add(pod: dict[str, Any], annotations: dict[str, str], network: catalog.Network, networks: Sequence[str]) -> None:
    """Wire a pod, in place.

    Args:
        pod: the pod's spec; its first container runs the ranks.
        annotations: the pod's annotations.
        network: as `usable` gives it.
        networks: the cluster's Network objects by name.
    """
    container = pod["containers"][0]
    annotations.update(network.annotations)
    annotations[INTERFACES] = json.dumps(_interfaces(network, networks), separators=(",", ":"))
    taken = {variable["name"] for variable in container["env"]}
    container["env"] += [{"name": name, "value": value} for name, value in network.env if name not in taken]
    for number, (path, mount) in enumerate(network.host_paths):
        name = f"gpudirect-{number}"
        pod["volumes"].append({"name": name, "hostPath": {"path": path}})
        container["volumeMounts"].append({"name": name, "mountPath": mount})
    mounts = [{"name": f"gpudirect-shared-{number}", "mountPath": path} for number, path in enumerate(network.shared)]
    pod["volumes"] += [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
    container["volumeMounts"] += mounts
    if network.capabilities:
        container["securityContext"]["capabilities"]["add"] = list(network.capabilities)
    if network.setup:
        line = " ".join(container["command"])  # our own words, none of which the shell takes for more
        container["command"] = ["/bin/bash", "-c", f"{network.setup} && exec {line}"]
    if network.daemon is not None:
        # A sidecar of Kubernetes' own kind, so that it ends with the ranks and does not keep the Job alive.
        pod["initContainers"] = [_sidecar(network, network.daemon, mounts, network.host_paths)]


def _sidecar(
    network: catalog.Network, daemon: catalog.Daemon, mounts: list[dict[str, Any]], paths: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    libraries = dict(network.env).get("LD_LIBRARY_PATH", "")
    own = [
        {"name": f"gpudirect-{number}", "mountPath": mount}
        for number, (_, mount) in enumerate(paths)
        if mount == libraries
    ]
    return {
        "name": daemon.name,
        "image": daemon.image,
        "restartPolicy": "Always",
        "command": list(daemon.command),
        "env": [{"name": "LD_LIBRARY_PATH", "value": libraries}],
        "securityContext": {"capabilities": {"drop": ["ALL"], "add": list(daemon.capabilities)}},
        "volumeMounts": [*own, *mounts],
    }


def _interfaces(network: catalog.Network, networks: Sequence[str]) -> list[dict[str, str]] | None:
    """Give the pod's interfaces: on the networks' usual names, or on as many networks as there must be."""
    extra = [interface for interface, name in network.interfaces if name != _DEFAULT]
    usual = [name for _, name in network.interfaces if name != _DEFAULT]
    if not set(usual) <= set(networks):
        if len(networks) != len(extra):
            return None
        usual = sorted(networks, key=_natural)
    pairs = [("eth0", _DEFAULT), *zip(extra, usual, strict=True)]
    return [{"interfaceName": interface, "network": name} for interface, name in pairs]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
