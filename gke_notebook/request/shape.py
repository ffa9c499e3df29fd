"""Which machines a job is to have: TPU slices, how they are had, where, of which type; checked against the catalog."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from gke_notebook import catalog
from gke_notebook.errors import InvalidInput, nearest
from gke_notebook.launch import contract
from gke_notebook.request.parse import parse_count
from gke_notebook.request.text import shown
from gke_notebook.specs import PROVISIONING, AcceleratorRequest, Provisioning, TpuRequest

MAX_SLICES = 256
# Classes that come with GKE (GKE documentation, "ComputeClasses" of Autopilot, 2026); a custom one is a DNS name.
BUILT_IN_CLASSES = ("Accelerator", "Balanced", "Performance", "Scale-Out", "autopilot", "autopilot-spot")
_ZONE = re.compile(r"[a-z]+(?:-[a-z]+)+\d+-[a-z]")
_REGION = re.compile(r"[a-z]+(?:-[a-z]+)+\d+")
_RESOURCE_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_CLASS = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?")
_ALIASES = {"ondemand": "on-demand", "standard": "on-demand", "flex": "flex-start", "flexstart": "flex-start",
            "reserved": "reservation"}  # fmt: skip


@dataclass(frozen=True)
class Provision:
    """How machines are had.

    Args:
        model: one of `specs.PROVISIONING`, empty for any way.
        reservation: the reservation's name, empty for none.
    """

    model: Provisioning = ""
    reservation: str = ""


def parse_tpu(value: object, what: str = "--tpu") -> tuple[TpuRequest, catalog.Topology] | None:
    """Read TPU slices: a type with a topology or a size, and how many slices of it.

    Args:
        value: for example ``v5e:4x4``, ``v5litepod-16`` or ``v6e:4x4*2``; None or an empty text for none.
        what: the option's name, for the error.

    Returns:
        The request, and the topology of one slice.

    Raises:
        InvalidInput: there is no such TPU or topology; the text has the nearest one.

    Example:
        >>> parse_tpu("v5litepod-16*2")[0]
        TpuRequest(type='v5e', topology='4x4', slices=2)
    """
    if isinstance(value, TpuRequest):
        value = f"{value.type}:{value.topology}*{value.slices}"
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{what} {shown(value)} is no TPU; write its type and topology, for example v5e:4x4")
    text, star, number = (part.strip() for part in value.partition("*"))
    if star and not number:
        raise InvalidInput(f"{what} {shown(value)} has no number of slices after the *; write for example {text}*2")
    try:
        kind, shape = catalog.parse_tpu(text)
    except InvalidInput as error:
        raise InvalidInput(f"{what} {shown(value)}: {error}") from None
    slices = parse_count(number, f"{what} {text}: the number of slices", 1, MAX_SLICES) if star else 1
    return TpuRequest(kind.name, shape.text, slices), shape


def parse_provisioning(
    provisioning: object = None, *, spot: object = False, flex: object = False, reservation: object = None
) -> Provision:
    """Read how machines are to be had.

    Args:
        provisioning: one of `specs.PROVISIONING`, or None.
        spot: whether ``--spot`` is given.
        flex: whether ``--flex`` is given.
        reservation: the name of a reservation, or None.

    Raises:
        InvalidInput: they contradict each other, or one cannot be read.

    Example:
        >>> parse_provisioning(spot=True).model
        'spot'
    """
    named = ""
    if reservation is not None and reservation != "":
        named = str(reservation).strip() if isinstance(reservation, str) else ""
        short = named.rsplit("/", 1)[-1]
        if not _RESOURCE_NAME.fullmatch(short):
            raise InvalidInput(
                f"--reservation {shown(reservation)} is no reservation's name: lower-case letters, digits and dashes, "
                "at most 63, starting with a letter"
            )
        named = short
    given: list[tuple[str, str]] = []
    if provisioning is not None and provisioning != "":
        given.append((f"provisioning {shown(provisioning)}", _model(provisioning)))
    given += [("--spot", "spot")] if spot else []
    given += [("--flex", "flex-start")] if flex else []
    given += [("--reservation", "reservation")] if named else []
    models = {model for _, model in given}
    if len(models) > 1:
        raise InvalidInput(
            f"{' and '.join(word for word, _ in given)} exclude each other: a machine is had one way; keep one of them"
        )
    model = models.pop() if models else ""
    if model == "reservation" and not named:
        raise InvalidInput("machines by reservation need its name: --reservation NAME")
    return Provision(cast(Provisioning, model), named)


def _model(value: object) -> str:
    word = str(value).strip().lower().replace("_", "-").replace(" ", "-") if isinstance(value, str) else ""
    word = _ALIASES.get(word, word)
    if word not in PROVISIONING:
        raise InvalidInput(f"provisioning {shown(value)}: {nearest(word, PROVISIONING)}")
    return word


def parse_zone(value: object, what: str = "--zone") -> str:
    """Read the name of a zone.

    Args:
        value: for example ``us-central1-a``; None or an empty text for any.
        what: the option's name, for the error.

    Raises:
        InvalidInput: it is no zone's name.
    """
    if value is None or value == "":
        return ""
    text = value.strip().lower() if isinstance(value, str) else ""
    if _ZONE.fullmatch(text):
        return text
    if _REGION.fullmatch(text):
        raise InvalidInput(f"{what} {shown(value)} is a region; name a zone of it, for example {text}-a")
    raise InvalidInput(f"{what} {shown(value)} is no zone; write for example us-central1-a")


def parse_compute_class(value: object, what: str = "--compute-class") -> str:
    """Read the name of a ComputeClass.

    Args:
        value: the name; None or an empty text for none.
        what: the option's name, for the error.

    Raises:
        InvalidInput: it cannot be one's name.
    """
    if value is None or value == "":
        return ""
    text = value.strip() if isinstance(value, str) else ""
    if text in BUILT_IN_CLASSES or _CLASS.fullmatch(text):
        return text
    same = [known for known in BUILT_IN_CLASSES if known.lower() == text.lower()]
    hint = f"did you mean {same[0]!r}?" if same else "lower-case letters, digits, dashes and dots, at most 63"
    raise InvalidInput(f"{what} {shown(value)} is no ComputeClass's name; {hint}")


def parse_machine_type(
    value: object, accelerator: AcceleratorRequest | None, tpu: TpuRequest | None, what: str = "--machine-type"
) -> str:
    """Read a machine type and see that it carries what each node is to have.

    Args:
        value: for example ``g2-standard-8``; None or an empty text for any.
        accelerator: what each node holds.
        tpu: the TPU slices.
        what: the option's name, for the error.

    Raises:
        InvalidInput: there is none of this name, or it does not carry the accelerators; the text has those that do.
    """
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} {shown(value)} is no machine type; write for example g2-standard-8")
    try:
        machine = catalog.machine_type(value.strip().lower())
    except InvalidInput as error:
        raise InvalidInput(f"{what} {shown(value)}: {error}") from None
    if tpu is not None:
        return catalog.topology(catalog.tpu(tpu.type), tpu.topology, machine.name).machine_type
    if accelerator is None:
        if machine.accelerator:
            known = catalog.by_label(machine.accelerator)
            hint = (
                f"--gpu {known.name}:{machine.accelerator_count}"
                if known is not None
                else f"--tpu {catalog.tpu(machine.name).name}:TOPOLOGY"
            )
            raise InvalidInput(f"{what} {machine.name} carries accelerators; ask for them too: {hint}")
        return machine.name
    found = catalog.accelerator(accelerator.type)
    fitting = [one for one in found.machine_types if _carries(one, found, accelerator.count)]
    if machine.name not in fitting:
        has = f"{machine.accelerator_count} x {machine.accelerator}" if machine.accelerator else "no accelerators"
        raise InvalidInput(
            f"{what} {machine.name} has {has}, not {accelerator.count} x {found.title}; "
            f"those are on {', '.join(fitting[:6])}{' ...' if len(fitting) > 6 else ''}: {what} {fitting[0]}"
        )
    return machine.name


def _carries(name: str, wanted: catalog.Accelerator, count: int) -> bool:
    machine = catalog.machine_type(name)
    if wanted.attach:
        return any(number == count and machine.vcpus <= most for number, most in wanted.attach)
    return machine.accelerator_count == count


def check_how(machine: catalog.MachineType | None, provision: Provision, zone: str) -> None:
    """Refuse machines that are not sold that way, or are not in that zone.

    Args:
        machine: what each node will be, None when the catalog does not say.
        provision: how it is had.
        zone: where, empty for anywhere.

    Raises:
        InvalidInput: it cannot be had; the text says how or where it can.
    """
    if machine is None:
        return
    if provision.model:
        reason = catalog.why_not(machine, provision.model)
        if reason:
            raise InvalidInput(reason)
    if zone:
        reason = catalog.why_not_there(machine, zone)
        if reason:
            raise InvalidInput(reason)


def check_duration(provision: Provision, seconds: int | None) -> None:
    """Refuse a job that would outlive its flex-start machines.

    Args:
        provision: how machines are had.
        seconds: the limit of the job, None for none.

    Raises:
        InvalidInput: there is no limit, or a longer one than a flex-start machine lives.
    """
    most = catalog.MAX_FLEX_SECONDS
    if provision.model == "flex-start" and (seconds is None or seconds > most):
        asked = "none" if seconds is None else f"{seconds / 3600:g}h"
        raise InvalidInput(
            f"flex-start machines run for at most {most // 86400} days, and --max-duration is {asked}; "
            f"the nearest is --max-duration {most // 3600}h"
        )


def check_class(compute_class: str, provision: Provision, machine_type: str) -> None:
    """Refuse what a custom ComputeClass decides itself.

    Args:
        compute_class: its name, empty for none.
        provision: how machines are to be had.
        machine_type: the machine type asked for, empty for any.

    Raises:
        InvalidInput: both say how machines are had.
    """
    if not compute_class or compute_class in BUILT_IN_CLASSES:
        return
    given = {"spot": "--spot", "flex-start": "--flex", "reservation": "--reservation", "on-demand": "on-demand"}
    clash = [given[provision.model]] if provision.model else []
    clash += ["--machine-type"] if machine_type else []
    if clash:
        raise InvalidInput(
            f"--compute-class {compute_class} decides how machines are had and of which type; "
            f"leave {' and '.join(clash)} out, or the class"
        )


def check_class_exists(compute_class: str, known: Sequence[str]) -> None:
    """Refuse a ComputeClass that the cluster does not have.

    Args:
        compute_class: its name.
        known: the names of the cluster's own classes.

    Raises:
        InvalidInput: there is none of this name; the text has the nearest one.
    """
    if compute_class not in known and compute_class not in BUILT_IN_CLASSES:
        said = nearest(compute_class, known) if known else "it has none; leave it out"
        raise InvalidInput(f"the cluster has no ComputeClass {compute_class!r}; {said}")


def tpu_nodes(tpu: TpuRequest, shape: catalog.Topology, nodes: object, option: str = "--nodes") -> int:
    """Give the nodes of TPU slices and refuse another number of them.

    Args:
        tpu: the slices.
        shape: the topology of each.
        nodes: what the user wrote for the number of nodes, None for nothing.
        option: the option's name, for the error.

    Raises:
        InvalidInput: the user wrote another number; the text has the right one.

    Example:
        >>> tpu_nodes(*parse_tpu("v5e:4x4*2"), nodes=None)
        8
    """
    right = shape.hosts * tpu.slices
    if right > 5000:
        raise InvalidInput(f"{tpu.slices} slices of {tpu.topology} are {right} nodes, more than the 5000 of one job")
    if nodes is None:
        return right
    given = parse_count(nodes, option, 1, 10**6)
    if given == right:
        return right
    each = f"{shape.hosts} host{'s' if shape.hosts > 1 else ''}"
    of = f"{tpu.slices} slices of {each}" if tpu.slices > 1 else f"one slice of {each}"
    more = ""
    if given > right and given % shape.hosts == 0:
        more = f"; {given} nodes are --tpu {tpu.type}:{tpu.topology}*{given // shape.hosts}"
    raise InvalidInput(
        f"{option} {given} contradicts --tpu {tpu.type}:{tpu.topology}, {of}: leave it out, or write "
        f"{option} {right}{more}"
    )


def check_slices_name(name: str, slices: int, hosts: int) -> None:
    """Refuse a name that is too long for the pods of a JobSet, which hold the numbers of slice and host.

    Args:
        name: the job's name.
        slices: how many slices.
        hosts: hosts of each.

    Raises:
        InvalidInput: it is too long; the text has one that can be used.
    """
    # JobSet's webhook wants room for "-abcde" behind a pod's name (sigs.k8s.io/jobset v0.10.1, jobset_webhook.go).
    most = 63 - len(f"-{contract.SLICE_JOB}-{slices - 1}-{hosts - 1}-abcde")
    if slices > 1 and len(name) > most:
        raise InvalidInput(
            f"job name {shown(name)} is longer than {most} characters, which is what {slices} slices leave room for; "
            f"use {name[:most].rstrip('-')!r}"
        )
