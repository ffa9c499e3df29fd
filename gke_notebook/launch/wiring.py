"""What each rank finds in its environment, as each framework documents it; pure."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import contract


@dataclass(frozen=True)
class Settings:
    """What the manifest has told the launcher; see the variables of `contract`.

    Args:
        job: the job's name.
        run: the id of the run.
        nodes: pods of the job.
        procs_per_node: ranks in each.
        framework: ``torch``, ``jax``, ``tensorflow`` or ``none``.
        coordinator: host:port of rank 0.
        workers: host:port of every rank, for TensorFlow.
        termination_log: where the outcome is written.
        program: the program directory.
        work: the working directory.
        output: files written here come back.
        accelerators: accelerators on each node.
        node: the number of this pod's node, counted over all slices.
        retry: how often this index has failed before.
        slices: how many slices the nodes make up.
        tpu: the TPU and its topology, empty without.
    """

    job: str
    run: str
    nodes: int
    procs_per_node: int
    framework: str
    coordinator: str
    workers: tuple[str, ...]
    termination_log: str
    program: str
    work: str
    output: str
    accelerators: int
    node: int
    retry: int
    slices: int = 1
    tpu: str = ""

    @property
    def nodes_per_slice(self) -> int:
        """How many nodes each slice has."""
        return self.nodes // self.slices

    @property
    def slice(self) -> int:
        """The number of this pod's slice."""
        return self.node // self.nodes_per_slice

    @property
    def world_size(self) -> int:
        """How many ranks run in all."""
        return self.nodes * self.procs_per_node


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables that the manifest sets.

    Args:
        environ: the environment of the launcher.

    Raises:
        ValueError: a variable is not what the manifest would have set; the text names it.

    Example:
        >>> read_settings({"GKE_NOTEBOOK_JOB": "digits"}).world_size
        1
    """
    nodes = _count(environ, contract.ENV_NODES, 1, least=1)
    slices = _count(environ, contract.ENV_SLICES, 1, least=1)
    if nodes % slices:
        raise ValueError(f"{contract.ENV_NODES} is {nodes}, which {slices} slices cannot share")
    index, number = _count(environ, contract.ENV_NODE_INDEX, 0), _count(environ, contract.ENV_SLICE, 0)
    if index >= nodes // slices or number >= slices:
        where = f"node {index} of slice {number}" if slices > 1 else f"{contract.ENV_NODE_INDEX} is {index}"
        raise ValueError(f"{where}, but the job has {nodes} nodes" + (f" in {slices} slices" if slices > 1 else ""))
    work = environ.get(contract.ENV_WORK) or contract.WORK_DIRECTORY
    return Settings(
        job=environ.get(contract.ENV_JOB, ""),
        run=environ.get(contract.ENV_RUN, ""),
        nodes=nodes,
        procs_per_node=_count(environ, contract.ENV_PROCS_PER_NODE, 1, least=1),
        framework=environ.get(contract.ENV_FRAMEWORK) or "none",
        coordinator=environ.get(contract.ENV_COORDINATOR) or f"127.0.0.1:{contract.RENDEZVOUS_PORT}",
        workers=tuple(filter(None, environ.get(contract.ENV_WORKERS, "").split(","))),
        termination_log=environ.get(contract.ENV_TERMINATION_LOG) or contract.TERMINATION_LOG,
        program=environ.get(contract.ENV_PROGRAM) or contract.PROGRAM_DIRECTORY,
        work=work,
        output=environ.get(contract.ENV_OUTPUT) or str(Path(work) / "output"),
        accelerators=_count(environ, contract.ENV_ACCELERATORS, 0),
        node=number * (nodes // slices) + index,
        retry=_count(environ, contract.ENV_RETRY, 0),
        slices=slices,
        tpu=environ.get(contract.ENV_TPU, ""),
    )


def rank_environment(settings: Settings, local_rank: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that one rank gets beside the inherited ones.

    The place of the rank is always set; what only tunes (threads, visible devices) leaves the user's own value alone.
    Sources: torch.distributed "env://" and torchrun's "Environment Variables" (PyTorch 2.9 documentation), JAX
    "Multi-process programming" (2026), TensorFlow "Distributed training: TF_CONFIG" (2.19).

    Args:
        settings: what the manifest has told.
        local_rank: the rank within this node.
        inherited: the launcher's own environment.
    """
    procs, world = settings.procs_per_node, settings.world_size
    rank = settings.node * procs + local_rank
    host, port = split_address(settings.coordinator)
    here = is_loopback(host)
    placed = {
        contract.ENV_RANK: str(rank),
        contract.ENV_WORLD_SIZE: str(world),
        contract.ENV_LOCAL_RANK: str(local_rank),
        "LOCAL_WORLD_SIZE": str(procs),
        "NODE_RANK": str(settings.node),
        "GROUP_RANK": str(settings.node),
        "GROUP_WORLD_SIZE": str(settings.nodes),
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        contract.ENV_OUTPUT: settings.output,
    }
    tuned: dict[str, str] = {}
    if procs > 1:
        tuned["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // procs))
    if settings.framework == "torch":
        placed.update(
            ROLE_NAME="default",
            ROLE_RANK=str(rank),
            ROLE_WORLD_SIZE=str(world),
            TORCHELASTIC_RUN_ID=settings.run or settings.job,
            TORCHELASTIC_RESTART_COUNT=str(settings.retry),
            TORCHELASTIC_MAX_RESTARTS="0",
            TORCHELASTIC_USE_AGENT_STORE="False",  # rank 0 itself holds the store
        )
        if procs > 1:
            tuned["OMP_NUM_THREADS"] = "1"  # torchrun's own default
        if here:
            # All ranks are on this machine, whose own name need not resolve.
            tuned["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    elif settings.framework == "jax":
        placed["JAX_COORDINATOR_ADDRESS"] = settings.coordinator
        placed["JAX_NUM_PROCESSES"] = str(world)
        placed["JAX_PROCESS_ID"] = str(rank)
        tuned["JAX_CPU_COLLECTIVES_IMPLEMENTATION"] = "gloo"  # without it a multi-process CPU backend cannot reduce
        if here:
            tuned["JAX_COORDINATOR_BIND_ADDRESS"] = settings.coordinator  # else it listens on every interface
    elif settings.framework == "tensorflow":
        placed["TF_CONFIG"] = tf_config(settings.workers or (settings.coordinator,), rank)
    if settings.tpu:
        tuned.update(tpu_environment(settings))
    # PyTorch's convention is that a rank sees all devices and picks cuda:LOCAL_RANK (torchrun splits nothing either);
    # JAX and TensorFlow take every device they see.
    if settings.framework in {"jax", "tensorflow"} and procs > 1:
        devices = split_devices(settings.accelerators, procs, local_rank)
        if devices:
            tuned["CUDA_VISIBLE_DEVICES"] = devices
    return {**{name: value for name, value in tuned.items() if name not in inherited}, **placed}


def tpu_environment(settings: Settings) -> dict[str, str]:
    """Give what a TPU's runtime reads: its place among the hosts of its slice, and its slice among others.

    GKE's own webhook sets them for pods of Indexed Jobs and JobSets (google/jobset examples, AI-Hypercomputer/xpk,
    2026-06-25); these are for pods that it has passed over, so none of its own is replaced.

    Args:
        settings: what the manifest has told.
    """
    first = settings.slice * settings.nodes_per_slice
    hosts = [host_name(settings, first + number) for number in range(settings.nodes_per_slice)]
    found = {
        "TPU_WORKER_ID": str(settings.node - first),
        "TPU_WORKER_HOSTNAMES": ",".join(hosts) if len(hosts) > 1 else "localhost",
    }
    if settings.slices > 1:
        found.update(
            MEGASCALE_NUM_SLICES=str(settings.slices),
            MEGASCALE_SLICE_ID=str(settings.slice),
            MEGASCALE_COORDINATOR_ADDRESS=split_address(settings.coordinator)[0],
        )
    return found


def host_name(settings: Settings, node: int) -> str:
    """Give the name by which the other pods find the pod of a node.

    Args:
        settings: what the manifest has told.
        node: the node's number, counted over all slices.
    """
    host = split_address(settings.coordinator)[0]
    if is_loopback(host):
        return host  # all pods are on this machine
    first, _, domain = host.partition(".")
    if settings.slices == 1:
        stem, number = first.removesuffix("-0"), str(node)
    else:
        stem, number = first.removesuffix("-0-0"), "-".join(map(str, divmod(node, settings.nodes_per_slice)))
    return f"{stem}-{number}.{domain}" if domain else f"{stem}-{number}"


def split_devices(accelerators: int, procs: int, local_rank: int) -> str:
    """Give the devices of one rank as a list for CUDA_VISIBLE_DEVICES, empty when there is not one for each rank.

    Args:
        accelerators: devices on the node.
        procs: ranks on the node.
        local_rank: the rank within the node.

    Example:
        >>> [split_devices(5, 2, rank) for rank in range(2)], split_devices(1, 2, 0)
        (['0,1,2', '3,4'], '')
    """
    if accelerators < procs:
        return ""
    share, more = divmod(accelerators, procs)
    first = local_rank * share + min(local_rank, more)
    return ",".join(str(device) for device in range(first, first + share + (local_rank < more)))


def tf_config(workers: tuple[str, ...], rank: int) -> str:
    """Give TF_CONFIG for a cluster of workers.

    Args:
        workers: host:port of every rank.
        rank: the global rank.

    Example:
        >>> tf_config(("a:1", "b:1"), 1)
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'
    """
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": rank}})


def peers(settings: Settings) -> tuple[str, ...]:
    """Give the names of the pods that the rendezvous needs, none when nothing has to be waited for.

    Args:
        settings: what the manifest has told.
    """
    host, _ = split_address(settings.coordinator)
    if settings.framework == "none" or settings.nodes == 1 or is_loopback(host):
        return ()
    first, dot, _ = host.partition(".")
    expected = f"{settings.job}-0" if settings.slices == 1 else f"{settings.job}-{contract.SLICE_JOB}-0-0"
    if first != expected or not dot:
        return (host,)
    return tuple(host_name(settings, node) for node in range(settings.nodes))


def split_address(address: str) -> tuple[str, str]:
    """Split host:port; a port that is missing is the rendezvous port.

    Args:
        address: host:port, or [IPv6]:port.

    Example:
        >>> split_address("digits-0.digits:29500"), split_address("[::1]:80")
        (('digits-0.digits', '29500'), ('::1', '80'))
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        host, port = address, str(contract.RENDEZVOUS_PORT)
    return host.strip("[]"), port


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine itself, so that all ranks are on it.

    Args:
        host: a name or an address.
    """
    return host in {"localhost", "::1"} or host.startswith("127.")


def _count(environ: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit() or int(text) < least:
        raise ValueError(f"{name} is {text!r}, not a whole number of at least {least}")
    return int(text)
