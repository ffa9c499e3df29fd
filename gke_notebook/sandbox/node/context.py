"""What all pods of the agent share, and where a pod's things lie on this machine."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.compact import Compact
from gke_notebook.cluster.resources import CONFIG_MAPS, SECRETS, Resource
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.node import images, process, tokens, volumes
from gke_notebook.sandbox.node.config import NodeConfig
from gke_notebook.sandbox.node.events import Recorder
from gke_notebook.sandbox.node.logs import LogWriter
from gke_notebook.sandbox.node.names import Host, Scope, Target
from gke_notebook.sandbox.node.ports import PortTable
from gke_notebook.sandbox.node.reaper_client import Reaper

Object = dict[str, Any]
SHIM = Path(__file__).parent / "shim"
NAMES_FILE = "GKE_NOTEBOOK_SANDBOX_NAMES"  # names the file that tells the shim who the pod is
ACCOUNT = "GKE_NOTEBOOK_SANDBOX_ACCOUNT"  # names the directory that the shim shows at `ACCOUNT_PATH`
ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # where clients look for the pod's token


@dataclass
class Context:
    """What the pods of one agent share.

    Args:
        client: the client to read and write with.
        config: the agent's settings.
        events: the recorder of events.
        reaper: ends every process when the agent is gone.
        ports: the table of local ports.
        marker: the sandbox's id in the environment of every process.
        scope: gives what is known of the cluster's names to a pod.
        services: gives where the services of a namespace lead, by ``<namespace>/<name>``.
        allocatable: what each node has.
        writers: the logs that are being written, by pod uid and container.
        pulled: the images that were "pulled", with their node.
        compact: decodes pods, so that an answer and what the watch brings are one object.
        shutting_down: the nodes that take no more pods.
        slow_pull: pairs of an image pattern and the seconds that its pull takes.
        status_limit: bounds how many statuses are written at once.
    """

    client: Client
    config: NodeConfig
    events: Recorder
    reaper: Reaper
    ports: PortTable
    marker: str
    scope: Callable[[Object], Scope]
    services: Callable[[str], Mapping[str, Target]]
    allocatable: Mapping[str, Mapping[str, str]]
    writers: dict[tuple[str, str], LogWriter] = field(default_factory=dict)
    pulled: set[tuple[str, str]] = field(default_factory=set)
    compact: Compact = field(default_factory=Compact)
    shutting_down: set[str] = field(default_factory=set)
    slow_pull: tuple[tuple[str, float], ...] = ()
    status_limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))

    def port_of(self, host: Host, port: int) -> int:
        """Give the local port that stands for a port of a pod."""
        return self.ports.local(host.namespace, host.name, port)

    async def sources(self, pod: Object, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Object | None]:
        """Read ConfigMaps, Secrets and service account tokens; one that is not there is None.

        Args:
            pod: the pod that names them.
            wanted: pairs of kind and name; for a token `tokens.key` gives the name.
        """
        ordered = sorted(wanted)
        found = await asyncio.gather(*(self._source(pod, kind, name) for kind, name in ordered))
        return dict(zip(ordered, found, strict=True))

    async def _source(self, pod: Object, kind: str, name: str) -> Object | None:
        namespace = pod["metadata"].get("namespace", "default")
        try:
            if kind == volumes.TOKEN:
                return await tokens.request(self.client, pod, name)
            resource: Resource = CONFIG_MAPS if kind == "ConfigMap" else SECRETS
            return {**await self.client.get(resource, name, namespace), "kind": kind}
        except ApiError as error:
            if error.status in (403, 404, 405):
                return None
            raise


def pod_directory_name(pod: Object) -> str:
    """Name a pod's directory as kubelets name pod log directories: ``<namespace>_<name>_<uid>``.

    Args:
        pod: the pod's manifest.
    """
    metadata = pod["metadata"]
    return f"{metadata.get('namespace', 'default')}_{metadata['name'][:100]}_{metadata['uid']}"


@dataclass(frozen=True)
class PodDirectory:
    """A pod's directory.

    Args:
        root: the directory.
    """

    root: Path

    def volume(self, name: str) -> Path:
        """Where a volume lies."""
        return self.root / "volumes" / name

    def log(self, container: str, restart: int) -> Path:
        """Where the log of an instance of a container lies."""
        return self.root / "logs" / container / f"{restart}.log"

    def termination_log(self, container: str) -> Path:
        """Where a container writes its termination message."""
        return self.root / "containers" / container / "termination-log"

    def files(self, container: str) -> Path:
        """Where a container's own files lie, gone when it is started again."""
        return self.root / "containers" / container / "root"

    @property
    def home(self) -> Path:
        """The home directory of the pod's processes."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """The directory for temporary files of the pod's processes."""
        return self.root / "tmp"

    @property
    def names_file(self) -> Path:
        """What the shim reads."""
        return self.root / "names.json"

    def create(self, scope: Scope, ports: PortTable, services: Mapping[str, Target]) -> None:
        """Make the directories, for their owner only, and the file for the shim.

        Args:
            scope: the pod's names.
            ports: the table of local ports.
            services: where each service leads, by ``<namespace>/<name>``.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home.mkdir(exist_ok=True)
        self.temporary.mkdir(exist_ok=True)
        known = {
            "namespace": scope.namespace,
            "hostname": scope.hostname,
            "subdomain": scope.subdomain,
            "ports": str(ports.keys.parent),
            "services": {name: _service(target) for name, target in services.items()},
        }
        self.names_file.write_text(json.dumps(known))


def _service(target: Target) -> Object:
    return {"namespace": target.host.namespace, "host": target.host.name, "ports": target.ports}


def base_environment(pod_directory: PodDirectory, scope: Scope, context: Context, container_id: str) -> dict[str, str]:
    """Give the variables of a container before its own: nothing of this machine's user goes in.

    Args:
        pod_directory: the pod's directory.
        scope: the pod's names.
        context: the agent's.
        container_id: the id of the container's instance.
    """
    server = urlsplit(context.client.connection.server)
    port = str(server.port or (443 if server.scheme == "https" else 80))
    return {
        # As a kubelet gives the address of the service `kubernetes`; clients in the cluster go by it.
        "KUBERNETES_SERVICE_HOST": server.hostname or "",
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "HOME": str(pod_directory.home),
        "HOSTNAME": scope.hostname,
        "LANG": "C.UTF-8",
        "TMPDIR": str(pod_directory.temporary),
        # Each pod of a job starting a thread a core would overload one machine.
        "OMP_NUM_THREADS": "1",
        # Without it gloo looks for the address of the machine's own name, which may not resolve.
        "GLOO_SOCKET_IFNAME": "lo0" if platform.system() == "Darwin" else "lo",
        # The accelerators of the nodes are pretended.
        "CUDA_VISIBLE_DEVICES": "",
        process.MARKER: context.marker,
        process.CONTAINER_MARKER: container_id,
        NAMES_FILE: str(pod_directory.names_file),
    }


def search_path(interpreter: str, declared: str | None, context: Context) -> str:
    """Give a container's PATH: first where `python` is the interpreter that stands for the image.

    Args:
        interpreter: that interpreter.
        declared: the PATH that the container declares, if any.
        context: the agent's.
    """
    own = images.bin_directory(interpreter, context.config.directory / ".bin")
    return ":".join([str(own), declared or ":".join(images.SYSTEM_DIRECTORIES)])
