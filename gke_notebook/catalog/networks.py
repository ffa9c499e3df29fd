"""GPUDirect: the extra networks of large GPU machines and what a pod needs to use them.

Facts: GoogleCloudPlatform/container-engine-accelerators (2026-06-11) for variables, paths and daemons,
GoogleCloudPlatform/cluster-toolkit (2026-06-25) for versions and networks, AI-Hypercomputer/xpk (2026-06-25).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from gke_notebook.catalog.machines import MachineType, family

INTERFACES = "networking.gke.io/interfaces"
DEFAULT_INTERFACE = "networking.gke.io/default-interface"


@dataclass(frozen=True)
class Daemon:
    """A container that runs beside the workload.

    Args:
        name: the container's name.
        image: its image, one of Google's own.
        command: its command line.
        capabilities: Linux capabilities it needs.
        devices: host devices it is given, by an annotation of the pod.
    """

    name: str
    image: str
    command: tuple[str, ...]
    capabilities: tuple[str, ...]
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """What a machine with GPUDirect needs of its cluster and of its pods.

    Args:
        kind: ``tcpx``, ``tcpxo`` or ``rdma``.
        title: the name shown to people.
        networks: how many networks a node has besides the default one.
        interfaces: pairs of a pod's interface and the name of the Network object it usually is on.
        annotations: annotations of the pod: its interfaces, and the devices of its daemon.
        env: environment variables of the workload.
        host_paths: pairs of a path on the node and where the workload has it.
        shared: directories that the workload and its daemon share.
        capabilities: Linux capabilities of the workload.
        daemon: the container beside it, None when there is none.
        installer: the DaemonSet that must have run on the node.
        setup: a line for the shell that must run before the workload, empty for none.
        minimum_versions: the GKE versions it is known to work from, one for each minor version.
    """

    kind: str
    title: str
    networks: int
    interfaces: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    env: tuple[tuple[str, str], ...]
    host_paths: tuple[tuple[str, str], ...]
    shared: tuple[str, ...]
    capabilities: tuple[str, ...]
    daemon: Daemon | None
    installer: str
    setup: str
    minimum_versions: tuple[str, ...]


def network(machine: MachineType | str) -> Network | None:
    """Say what a machine needs to use GPUDirect; None for a machine that has none.

    Args:
        machine: the machine or its name.

    Raises:
        InvalidInput: the machine type is not known.

    Example:
        >>> network("a3-megagpu-8g").networks
        8
    """
    name = machine if isinstance(machine, str) else machine.name
    kind = family(name)["network"]
    return _networks()[kind] if kind else None


@cache
def _networks() -> dict[str, Network]:
    text = (files("gke_notebook.catalog") / "data" / "networks.json").read_text(encoding="utf-8")
    return {kind: _network(kind, found) for kind, found in json.loads(text).items()}


def _network(kind: str, found: dict[str, Any]) -> Network:
    first, names = found["first_interface"], found["network_names"]
    extra = [
        (f"eth{first + number}", names.format(number + found["first_name"])) for number in range(found["networks"])
    ]
    interfaces = [("eth0", "default"), *extra]
    listed = [{"interfaceName": interface, "network": name} for interface, name in interfaces]
    annotations = {DEFAULT_INTERFACE: "eth0", INTERFACES: json.dumps(listed, separators=(",", ":"))}
    daemon = None
    if "daemon" in found:
        given = found["daemon"]
        daemon = Daemon(
            name=given["name"],
            image=given["image"],
            command=tuple(given["command"]),
            capabilities=tuple(given["capabilities"]),
            devices=tuple(given["devices"]),
        )
        # The node's device injector reads this annotation as YAML.
        annotations[f"devices.gke.io/container.{daemon.name}"] = "".join(f"- path: {path}\n" for path in daemon.devices)
    return Network(
        kind=kind,
        title=found["title"],
        networks=found["networks"],
        interfaces=tuple(interfaces),
        annotations=tuple(annotations.items()),
        env=tuple(found["env"].items()),
        host_paths=tuple((one["host"], one["mount"]) for one in found["host_paths"]),
        shared=tuple(found["shared"]),
        capabilities=tuple(found["capabilities"]),
        daemon=daemon,
        installer=found["installer"],
        setup=found["setup"],
        minimum_versions=tuple(found["minimum_versions"]),
    )
