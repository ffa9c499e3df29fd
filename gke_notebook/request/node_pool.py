"""From what a user wrote to a checked `NodePoolSpec`; pure. What may stand beside what is in `node_pool_rules`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gke_notebook import catalog
from gke_notebook.errors import InvalidInput, nearest
from gke_notebook.manifests import hosts
from gke_notebook.request import node_pool_rules as rules
from gke_notebook.request import shape
from gke_notebook.request.defaults import default_resources
from gke_notebook.request.parse import label_value, parse_accelerator, parse_count
from gke_notebook.request.quantities import parse_duration, parse_memory
from gke_notebook.request.text import shown
from gke_notebook.specs import AcceleratorRequest, NodePoolSpec, NodeTaint, TpuRequest

DEFAULT_LEASE = "8h"
DEFAULT_MAX_NODES = 4
MOST_NODES = 1000  # nodes of one pool (GKE documentation, "Quotas and limits", 2026)
DRIVERS = ("latest", "default", "disabled")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?")
_RESERVATION = re.compile(
    r"(?:projects/(?P<project>[a-z][-a-z0-9.:]{4,61})/reservations/)?(?P<name>[a-z][-a-z0-9]{0,62})"
)
_LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True)
class Place:
    """The cluster that a pool is for.

    Args:
        location: its region or zone.
        zones: the zones of its nodes by default; empty when they are not known.
        autopilot: whether it makes its nodes itself.
    """

    location: str
    zones: tuple[str, ...] = ()
    autopilot: bool = False

    @property
    def region(self) -> str:
        """The cluster's region."""
        return catalog.region_of(self.location)


def build_node_pool(
    name: object,
    place: Place,
    *,
    owner: str,
    now: float,
    gpu: object = None,
    tpu: object = None,
    machine_type: object = None,
    provisioning: object = None,
    spot: object = False,
    flex: object = False,
    reservation: object = None,
    zones: object = (),
    nodes: object = None,
    min_nodes: object = None,
    max_nodes: object = None,
    per_zone: object = False,
    compact: object = False,
    driver: object = None,
    sharing: object = None,
    partition: object = None,
    labels: object = (),
    taints: object = (),
    disk: object = None,
    disk_type: object = None,
    local_ssds: object = None,
    workload_metadata: object = "gke",
    secure_boot: object = True,
    image_streaming: object = True,
    gvnic: object = True,
    max_run_duration: object = None,
    queued: object = False,
    lease: object = DEFAULT_LEASE,
) -> NodePoolSpec:
    """Make a checked spec of a node pool.

    Args:
        name: the pool's name.
        place: the cluster.
        owner: who makes it.
        now: the time in seconds since 1970.
        gpu: GPUs of each node, for example ``l4:2``.
        tpu: the TPU slice, for example ``v5e:4x4``.
        machine_type: the machine type; by default the smallest that fits.
        provisioning: one of `specs.PROVISIONING`; on demand by default.
        spot: whether nodes are spot VMs.
        flex: whether nodes come by flex-start.
        reservation: a reservation's name, ``projects/P/reservations/NAME`` for a shared one, or ``any``.
        zones: where nodes may be; text with commas or a list.
        nodes: so many nodes, in all zones together; no autoscaling unless a limit is given too.
        min_nodes: the fewest nodes; 0 by default.
        max_nodes: the most nodes; 4 by default.
        per_zone: whether the limits hold for each zone.
        compact: whether nodes stand close together.
        driver: ``latest`` (the default), ``default`` or ``disabled``.
        sharing: ``time-sharing:N`` or ``mps:N`` for N clients of each GPU.
        partition: the MIG partition, for example ``1g.10gb``.
        labels: labels of the nodes, a mapping or ``KEY=VALUE`` texts.
        taints: ``KEY=VALUE:EFFECT`` texts.
        disk: the boot disk's size, for example ``200GB``.
        disk_type: the boot disk's type.
        local_ssds: local SSDs for temporary files.
        workload_metadata: ``gke`` or ``gce``.
        secure_boot: whether nodes start only signed software.
        image_streaming: whether containers start before their image is there as a whole.
        gvnic: whether nodes have Google's virtual network card.
        max_run_duration: how long a machine may run.
        queued: whether nodes come only for a ProvisioningRequest.
        lease: how long the pool is wanted.

    Raises:
        InvalidInput: something cannot be; the text has the nearest valid choice.

    Example:
        >>> spec = build_node_pool("l4", Place("us-central1"), owner="ada", now=0, gpu="l4:1", spot=True)
        >>> spec.machine_type, spec.provisioning, spec.max_nodes
        ('g2-standard-4', 'spot', 4)
    """
    if place.autopilot:
        raise InvalidInput(
            "this is an Autopilot cluster, which makes its nodes itself: ask for accelerators where they are used, "
            "%%gke_train NAME --gpu TYPE"
        )
    checked = check_pool_name(name)
    lent = parse_duration(lease, "--lease")
    machine, accelerator, slices = _machine(gpu, tpu, machine_type)
    reserved, project = _reservation(reservation)
    how = shape.parse_provisioning(provisioning, spot=spot, flex=flex, reservation=reserved)
    model = how.model or "on-demand"
    topology = None if slices is None else hosts.tpu_slice(slices, machine.name)
    whole = topology.hosts if topology is not None and topology.hosts > 1 else 0
    generation = None if slices is None else catalog.tpu(slices.type)
    size = _size(
        nodes, min_nodes, max_nodes, whole=whole, per_zone=bool(per_zone), model=model, queued=bool(queued),
        slices=slices,
    )  # fmt: skip
    wanted = tuple(shape.parse_zone(zone, "--zone") for zone in _words(zones))
    close = bool(compact) or bool(whole)
    strategy, clients = _sharing(sharing)
    spec = NodePoolSpec(
        name=checked,
        machine_type=machine.name,
        owner=label_value(owner),
        lease_until=int(now) + lent,
        gpu=accelerator,
        tpu=slices,
        hosts=whole,
        provisioning=model,
        reservation=how.reservation,
        reservation_project=project,
        zones=wanted or _zones(machine, place, size, one=close),
        nodes=size.nodes,
        autoscaling=size.autoscaling,
        min_nodes=size.least,
        max_nodes=size.most,
        per_zone=bool(per_zone),
        compact=close and not (whole and generation is not None and generation.workload_policy),
        workload_policy=f"{checked}-{slices.topology}"
        if slices and whole and generation is not None and generation.workload_policy
        else "",
        driver=_choice(driver or "latest", DRIVERS, "--driver") if accelerator else _no_driver(driver),
        sharing=strategy,
        clients=clients,
        partition=_text(partition, "--mig"),
        secure_boot=bool(secure_boot),
        workload_metadata=_choice(workload_metadata, ("gke", "gce"), "--workload-metadata"),
        labels=_labels(labels),
        taints=tuple(_taint(word) for word in _words(taints)),
        disk_type=_text(disk_type, "--disk-type") or machine.boot_disk,
        disk_gb=_disk(disk),
        local_ssds=0 if local_ssds is None else parse_count(local_ssds, "--local-ssd", 0, 64),
        image_streaming=bool(image_streaming),
        gvnic=bool(gvnic),
        max_run_seconds=_run_seconds(max_run_duration, model, bool(queued)),
        queued=bool(queued),
    )
    rules.check(spec, machine, place.region)
    return spec


def check_pool_name(name: object) -> str:
    """Check a node pool's name: at most 40 lower-case letters, digits and dashes, starting with a letter.

    Args:
        name: what the user wrote.

    Raises:
        InvalidInput: it is none; the text has one that can be used.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    word = re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")
    word = word if word[:1].isalpha() else f"pool-{word}".strip("-")
    raise InvalidInput(
        f"node pool name {shown(name)} is not made of lower-case letters, digits and dashes, at most 40, starting with "
        f"a letter; use {word[:40].rstrip('-')!r}"
    )


def _machine(
    gpu: object, tpu: object, machine_type: object
) -> tuple[catalog.MachineType, AcceleratorRequest | None, TpuRequest | None]:
    accelerator, parsed = parse_accelerator(gpu), shape.parse_tpu(tpu)
    if accelerator is not None and parsed is not None:
        raise InvalidInput("--gpu and --tpu exclude each other: a node has one kind of accelerator; keep one of them")
    slices = None if parsed is None else parsed[0]
    if slices is not None and slices.slices > 1:
        raise InvalidInput(
            f"a node pool is one slice; make {slices.slices} pools, each with --tpu {slices.type}:{slices.topology}"
        )
    if accelerator is None and slices is None:
        if machine_type is None or machine_type == "":
            raise InvalidInput("say what the nodes are: --gpu TYPE:COUNT, --tpu TYPE:TOPOLOGY or --machine-type NAME")
        named = catalog.machine_type(str(machine_type).strip().lower())
        kind = catalog.by_label(named.accelerator) if named.accelerator else None
        accelerator = None if kind is None else AcceleratorRequest(kind.name, named.accelerator_count)
    word = shape.parse_machine_type(machine_type, accelerator, slices)
    cpu, memory = default_resources(accelerator, 1, slices, word)
    found = hosts.host(accelerator, slices, word, cpu, memory)
    if found is None:
        assert accelerator is not None  # CPU machines and TPUs are always found
        known = catalog.accelerator(accelerator.type)
        raise InvalidInput(
            f"machines with {accelerator.count} x {known.title} are chosen by name: "
            f"--machine-type {known.machine_types[0]}"
        )
    return found, accelerator, slices


@dataclass(frozen=True)
class _Size:
    nodes: int
    autoscaling: bool
    least: int
    most: int


def _size(
    nodes: object,
    min_nodes: object,
    max_nodes: object,
    *,
    whole: int,
    per_zone: bool,
    model: str,
    queued: bool,
    slices: TpuRequest | None,
) -> _Size:
    limits = min_nodes is not None or max_nodes is not None
    least = 0 if min_nodes is None else parse_count(min_nodes, "--min", 0, MOST_NODES)
    first = 0 if nodes is None else parse_count(nodes, "--nodes", 0, MOST_NODES)
    most = max(DEFAULT_MAX_NODES, first, least) if max_nodes is None else parse_count(max_nodes, "--max", 1, MOST_NODES)
    if whole and slices is not None:
        asked = _Size(first, limits or nodes is None, least, most)
        return _slice_size(whole, slices, asked, most_given=max_nodes is not None)
    scaled = limits or nodes is None or model == "flex-start" or queued
    if min_nodes is not None and least > most:
        raise InvalidInput(f"--min {least} is more than --max {most}; write --min {most} --max {least}")
    if scaled and first and not per_zone and not least <= first <= most:
        near = min(max(first, least), most)
        raise InvalidInput(
            f"--nodes {first} is not between --min {least} and --max {most}; the nearest is --nodes {near}"
        )
    return _Size(first, scaled, least if scaled else 0, most if scaled else 0)


def _slice_size(whole: int, slices: TpuRequest, asked: _Size, *, most_given: bool) -> _Size:
    what = f"--tpu {slices.type}:{slices.topology} is one slice of {whole} hosts, so the pool"
    if asked.nodes not in (0, whole):
        raise InvalidInput(f"{what} has {whole} nodes or none, not {asked.nodes}: --nodes {whole}")
    if most_given and asked.most != whole:
        raise InvalidInput(f"{what} grows from 0 to {whole}, not {asked.most}: --max {whole}")
    if asked.least not in (0, whole):
        raise InvalidInput(f"{what} has {whole} nodes or none, not at least {asked.least}: --min 0 or --min {whole}")
    return _Size(asked.nodes, asked.autoscaling, asked.least, whole if asked.autoscaling else 0)


def _zones(machine: catalog.MachineType, place: Place, size: _Size, *, one: bool) -> tuple[str, ...]:
    """Choose zones: those of the cluster that have the machine, or of its region; only one where it must be so."""
    known = catalog.zones(machine, place.region)
    here = tuple(zone for zone in place.zones if zone in known) or known or place.zones
    # The API counts nodes for each zone, so a number that is not a multiple of the zones goes into one.
    single = one or not size.autoscaling or (here and size.nodes % len(here))
    return here[:1] if single else here


def _reservation(value: object) -> tuple[str, str]:
    if value is None or value == "":
        return "", ""
    found = _RESERVATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput(
            f"--reservation {shown(value)} is no reservation; write NAME, projects/PROJECT/reservations/NAME, or any"
        )
    return found["name"], found["project"] or ""


def _sharing(value: object) -> tuple[str, int]:
    if value is None or value == "":
        return "", 1
    word, _, number = str(value).strip().lower().partition(":")
    strategy = _choice(word.replace("_", "-"), ("time-sharing", "mps"), "--sharing")
    return strategy, parse_count(number or "2", f"--sharing {strategy}: the number of clients", 1, 1000)


def _run_seconds(value: object, model: str, queued: bool) -> int | None:
    if value is not None and value != "":
        return parse_duration(value, "--max-run-duration")
    return catalog.MAX_FLEX_SECONDS if model == "flex-start" or queued else None


def _disk(value: object) -> int:
    if value is None or value == "":
        return 100
    return round(parse_memory(value, "--disk") * (2**30 / 1e9 if "i" not in str(value).lower() else 1)) or 1


def _labels(value: object) -> tuple[tuple[str, str], ...]:
    pairs = dict(value) if isinstance(value, Mapping) else dict(_pair(word) for word in _words(value))
    for key, text in pairs.items():
        if not _LABEL_KEY.fullmatch(str(key)) or not _LABEL_VALUE.fullmatch(str(text)):
            raise InvalidInput(
                f"--label {key}={text}: keys and values are letters, digits, dashes, dots and underscores, at most 63; "
                f"the nearest is {label_value(str(key))}={label_value(str(text))}"
            )
    return tuple(sorted((str(key), str(text)) for key, text in pairs.items()))


def _pair(word: object) -> tuple[str, str]:
    if isinstance(word, tuple) and len(word) == 2:
        return str(word[0]), str(word[1])
    key, equals, text = str(word).partition("=")
    if not equals:
        raise InvalidInput(f"--label {shown(word)} is no KEY=VALUE; write for example team=vision")
    return key, text


def _taint(word: object) -> NodeTaint:
    if isinstance(word, NodeTaint):
        return word
    left, colon, effect = str(word).rpartition(":")
    key, _, text = left.partition("=")
    if not colon or not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(text):
        raise InvalidInput(f"--taint {shown(word)} is no KEY=VALUE:EFFECT; write for example team=vision:NoSchedule")
    if effect not in EFFECTS:
        raise InvalidInput(f"--taint {shown(word)}: there is no effect {effect!r}; {nearest(effect, EFFECTS)}")
    return NodeTaint(key, text, effect)


def _no_driver(driver: object) -> str:
    if driver:
        raise InvalidInput("--driver is for GPUs; leave it out")
    return ""


def _choice(value: object, known: Iterable[str], what: str) -> str:
    word = str(value).strip().lower()
    if word not in known:
        raise InvalidInput(f"{what} {shown(value)}: {nearest(word, known)}")
    return word


def _text(value: object, what: str) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} {shown(value)} is no text")
    return value.strip()


def _words(value: object) -> tuple[object, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    assert isinstance(value, Iterable)
    return tuple(part for word in value for part in (_words(word) if isinstance(word, str) else (word,)))
