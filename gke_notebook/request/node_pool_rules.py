"""What may stand beside what in a node pool; every refusal has the nearest valid choice, ready to paste; pure.

Rules: GoogleCloudPlatform/cluster-toolkit (2026-06-25) and AI-Hypercomputer/xpk (2026-06-25) for what GKE refuses,
GKE's own autoscaler (GoogleCloudPlatform/cluster-autoscaler, 2026-08-21) for SSDs, disks and compact placement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gke_notebook import catalog
from gke_notebook.errors import InvalidInput, nearest
from gke_notebook.specs import NodePoolSpec

_COMPACT_FLEX = ("a3-ultragpu-", "a4-", "h4d-")
_LEAST_DISK, _MOST_DISK = 10, 65536  # GB


def check(spec: NodePoolSpec, machine: catalog.MachineType, region: str) -> None:
    """Refuse a node pool that GKE would refuse, or that could never have a node.

    Args:
        spec: the pool.
        machine: what each node is.
        region: the cluster's.

    Raises:
        InvalidInput: the first thing that is wrong.
    """
    for reason in _problems(spec, machine, region):
        raise InvalidInput(reason)


def _problems(spec: NodePoolSpec, machine: catalog.MachineType, region: str) -> Iterable[str]:
    yield from filter(None, (catalog.why_not(machine, spec.provisioning),))
    yield from _places(spec, machine, region)
    yield from _ways(spec)
    yield from _sizes(spec)
    yield from _compact(spec, machine)
    yield from _gpus(spec)
    yield from _disks(spec, machine)


def _places(spec: NodePoolSpec, machine: catalog.MachineType, region: str) -> Iterable[str]:
    for zone in spec.zones:
        if catalog.region_of(zone) != region:
            near = catalog.zones(machine, region) or (f"{region}-a",)
            yield f"--zone {zone} is not in the cluster's region {region}; the nearest is --zone {near[0]}"
        reason = catalog.why_not_there(machine, zone)
        if reason:
            yield reason
    twice = [zone for zone in spec.zones if spec.zones.count(zone) > 1]
    if twice:
        yield f"--zone {twice[0]} stands there twice; write {','.join(dict.fromkeys(spec.zones))}"
    if not spec.zones:
        reason = catalog.why_not_there(machine, region, option="another cluster: the region")
        if reason:
            yield reason


def _ways(spec: NodePoolSpec) -> Iterable[str]:
    if spec.queued and spec.provisioning in ("spot", "reservation"):
        word = "--spot" if spec.provisioning == "spot" else "--reservation"
        yield f"--queued and {word} exclude each other: queued nodes come from neither; leave {word} out"
    if spec.queued and (spec.min_nodes or spec.nodes):
        yield "--queued nodes come only for a ProvisioningRequest: leave --min and --nodes out"
    if spec.provisioning == "flex-start" and spec.nodes:
        yield (
            f"--flex nodes come when pods wait for them, so the pool begins with none: leave --nodes out and write "
            f"--max {spec.nodes}"
        )
    if spec.provisioning == "flex-start" and spec.min_nodes:
        yield "--flex nodes come when pods wait for them: leave --min out"
    most = catalog.MAX_FLEX_SECONDS
    if spec.max_run_seconds is not None and (spec.provisioning == "flex-start" or spec.queued):
        if spec.max_run_seconds > most:
            yield (
                f"--max-run-duration is at most 7 days for flex-start, not {spec.max_run_seconds / 86400:g}; "
                "the nearest is --max-run-duration 7d"
            )
    elif spec.max_run_seconds is not None and spec.max_run_seconds > most:
        yield "--max-run-duration is at most 7 days; the nearest is --max-run-duration 7d"


def _sizes(spec: NodePoolSpec) -> Iterable[str]:
    count = len(spec.zones) or 1
    if spec.autoscaling and spec.min_nodes > spec.max_nodes:
        yield (
            f"--min {spec.min_nodes} is more than --max {spec.max_nodes}; write --min {spec.max_nodes} "
            f"--max {spec.min_nodes}"
        )
    if not spec.autoscaling and not spec.nodes:
        yield "a pool of 0 nodes that does not grow is of no use; write --nodes 1, or --max 1 for one that grows"
    if spec.nodes % count:
        near = max(count, round(spec.nodes / count) * count)
        yield (
            f"--nodes {spec.nodes} cannot be spread evenly over {count} zones; the nearest is --nodes {near}, or name "
            f"one zone: --zone {spec.zones[0]}"
        )
    if spec.per_zone and not spec.autoscaling:
        yield "--per-zone is for the limits of an autoscaled pool; write --max too, or leave it out"


def _compact(spec: NodePoolSpec, machine: catalog.MachineType) -> Iterable[str]:
    if not spec.compact and not spec.workload_policy:
        return
    tpu = spec.tpu is not None
    if len(spec.zones) > 1:
        what = f"--tpu {spec.tpu.type}:{spec.tpu.topology}" if spec.tpu else "--compact"
        yield f"{what} needs exactly one zone, not {len(spec.zones)}; the nearest is --zone {spec.zones[0]}"
    if spec.queued and not tpu:
        yield "--compact and --queued exclude each other, except for TPUs; leave --compact out"
    if spec.provisioning == "flex-start" and not tpu and not machine.name.startswith(_COMPACT_FLEX):
        yield (
            f"--compact with --flex is only for a3-ultragpu, a4 and h4d machines, not {machine.name}; "
            "leave --compact out"
        )
    if tpu:
        return
    if machine.compact_nodes is None:
        yield f"{machine.name} is not offered with compact placement; leave --compact out"
        return
    largest = max(spec.nodes, spec.max_nodes * (len(spec.zones) or 1 if spec.per_zone else 1))
    if largest > machine.compact_nodes:
        word = "--max" if spec.autoscaling else "--nodes"
        yield (
            f"at most {machine.compact_nodes} {machine.name} stand in one compact placement, not {largest}; "
            f"the nearest is {word} {machine.compact_nodes}"
        )


def _gpus(spec: NodePoolSpec) -> Iterable[str]:
    if spec.gpu is None:
        for value, word in ((spec.sharing, "--sharing"), (spec.partition, "--mig")):
            if value:
                yield f"{word} is for GPUs; leave it out"
        return
    shared = catalog.sharing(spec.gpu.type)
    if spec.partition and spec.partition not in dict(shared.partitions):
        known = dict(shared.partitions)
        near = nearest(spec.partition, known) if known else "it cannot be partitioned; leave --mig out"
        yield f"--mig {spec.partition}: {spec.gpu.type} has no such partition; {near}"
    if spec.sharing and not shared.least_clients <= spec.clients <= shared.most_clients:
        close = min(max(spec.clients, shared.least_clients), shared.most_clients)
        yield (
            f"--sharing {spec.sharing}:{spec.clients}: a shared GPU has {shared.least_clients} to "
            f"{shared.most_clients} clients; the nearest is --sharing {spec.sharing}:{close}"
        )


def _disks(spec: NodePoolSpec, machine: catalog.MachineType) -> Iterable[str]:
    if not _LEAST_DISK <= spec.disk_gb <= _MOST_DISK:
        yield (
            f"--disk {spec.disk_gb}GB is out of range: 10GB to 64TB; the nearest is "
            f"--disk {min(max(spec.disk_gb, _LEAST_DISK), _MOST_DISK)}GB"
        )
    if machine.boot_disk.startswith("hyperdisk") and not spec.disk_type.startswith("hyperdisk"):
        yield f"{machine.name} boots from {machine.boot_disk} only; write --disk-type {machine.boot_disk}"
    if spec.local_ssds and machine.local_ssds and spec.local_ssds != machine.local_ssds:
        yield f"{machine.name} always comes with {machine.local_ssds} local SSDs; leave --local-ssd out"
    elif spec.local_ssds and not machine.local_ssds and spec.local_ssds not in machine.optional_local_ssds:
        known = machine.optional_local_ssds
        if known:
            close = min(known, key=lambda number: abs(number - spec.local_ssds))
            said = f"it takes {', '.join(map(str, known))}; the nearest is --local-ssd {close}"
        else:
            said = "it takes none; leave --local-ssd out"
        yield f"--local-ssd {spec.local_ssds}: not on {machine.name}; {said}"


@dataclass(frozen=True)
class Reserved:
    """A reservation that exists.

    Args:
        name: its name.
        zone: where its machines are.
        machine_type: what they are.
        free: how many are not in use.
        specific: whether only who names it gets its machines.
    """

    name: str
    zone: str
    machine_type: str
    free: int
    specific: bool = True


def check_reservation(
    spec: NodePoolSpec, known: Iterable[Reserved], location: str, named: tuple[str, ...] = ()
) -> NodePoolSpec:
    """Refuse a reservation that does not exist, is elsewhere or holds other machines; put the pool into its zone.

    Args:
        spec: the pool, whose zones were chosen or named.
        known: the reservations of the project.
        location: the cluster's region.
        named: the zones that the user has named.

    Returns:
        The pool in the zone of its reservation.

    Raises:
        InvalidInput: the text has the reservation or the zone that fits.
    """
    listed = list(known)
    fitting = [one for one in listed if one.machine_type == spec.machine_type]
    if spec.reservation == "any":
        return spec
    found = next((one for one in listed if one.name == spec.reservation), None)
    if found is None:
        near = [one.name for one in fitting] or [one.name for one in listed]
        said = nearest(spec.reservation, near) if near else "the project has none; leave --reservation out"
        raise InvalidInput(f"there is no reservation {spec.reservation!r}; {said}")
    if found.machine_type != spec.machine_type:
        raise InvalidInput(
            f"reservation {found.name!r} holds {found.machine_type}, not {spec.machine_type}: "
            f"--machine-type {found.machine_type} --reservation {found.name}"
        )
    if catalog.region_of(found.zone) != catalog.region_of(location):
        raise InvalidInput(f"reservation {found.name!r} is in {found.zone}, outside the cluster's region {location}")
    if named and named != (found.zone,):
        raise InvalidInput(
            f"reservation {found.name!r} is in {found.zone}, not in {', '.join(named)}: --zone {found.zone}"
        )
    return replace(spec, zones=(found.zone,))
