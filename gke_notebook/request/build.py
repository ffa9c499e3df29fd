"""From what a user wrote to a checked spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from gke_notebook import program
from gke_notebook.errors import InvalidInput
from gke_notebook.request import defaults, hosts, parse, quantities, shape
from gke_notebook.request.requirements import parse_requirements
from gke_notebook.request.text import shown
from gke_notebook.specs import Framework, TrainSpec


def build_spec(
    name: object,
    cell: str,
    *,
    variables: Mapping[str, object] | None = None,
    gpu: object = None,
    tpu: object = None,
    nodes: object = None,
    procs_per_node: object = None,
    framework: object = None,
    env: object = (),
    requirements: object = None,
    include: object = (),
    image: str | None = None,
    namespace: str = "default",
    cpu: object = None,
    memory: object = None,
    max_duration: object = None,
    max_retries: object = 0,
    spot: object = False,
    flex: object = False,
    reservation: object = None,
    provisioning: object = None,
    zone: object = None,
    machine_type: object = None,
    compute_class: object = None,
    owner: str = "",
    run: str = "",
    base: Path | None = None,
    magic_line: bool = True,
) -> TrainSpec:
    """Check what a user asked for and complete it; the options first, so that a typing error costs no analysis.

    Args:
        name: the job's name, a DNS label.
        cell: the cell below the magic line.
        variables: the notebook's names, of which what the cell uses travels.
        gpu: accelerators of each node, for example ``l4:2``; none by default.
        tpu: TPU slices in place of GPUs, for example ``v5e:4x4`` or ``v5e:4x4*2``; each host is a node with one rank.
        nodes: how many nodes, 1 to 5000; 1 by default, with TPUs as many as the slices have hosts.
        procs_per_node: ranks on each node, 1 to 64; by default one for each accelerator with a framework, else 1.
        framework: ``torch``, ``jax``, ``tensorflow`` or ``none``.
        env: environment variables: a mapping or ``NAME=value`` texts.
        requirements: what pip installs where the image lacks it: names, or a requirements file.
        include: files, folders and patterns that travel, relative to `base`.
        image: the container image; by default that of the framework, see `defaults.default_image`.
        namespace: where it runs.
        cpu: CPUs of each node; see `defaults.default_resources`.
        memory: memory of each node, a number of GiB or text such as ``16Gi``.
        max_duration: seconds or text such as ``2h``; one hour by default, ``none`` for no limit.
        max_retries: how often each node may be started again, 0 to 100.
        spot: whether its machines are spot VMs.
        flex: whether its machines come by flex-start.
        reservation: the name of the reservation that its machines come from.
        provisioning: the same in one word, one of `specs.PROVISIONING`.
        zone: the zone its machines must be in.
        machine_type: the machine type they must be.
        compute_class: the ComputeClass that decides how they are had.
        owner: who submits it; made into a label value.
        run: the id of this run.
        base: the notebook's directory; the working directory by default.
        magic_line: whether a magic line stands above the cell, so that line numbers count it.

    Raises:
        InvalidInput: something cannot be used; the text is one line with the nearest valid choice.

    Example:
        >>> build_spec("digits", "print(1)", gpu="l4:2", framework="torch").ranks
        2
    """
    checked_name = parse.check_name(name)
    place = Path.cwd() if base is None else Path(base)
    chosen = parse.parse_framework(framework)
    had = shape.parse_provisioning(provisioning, spot=spot, flex=flex, reservation=reservation)
    found = hosts.read_hosts(
        checked_name,
        gpu=gpu,
        tpu=tpu,
        nodes=nodes,
        procs_per_node=procs_per_node,
        framework=chosen,
        cpu=cpu,
        memory=memory,
        provision=had,
        zone=zone,
        machine_type=machine_type,
        compute_class=compute_class,
    )
    retries = parse.parse_count(0 if max_retries is None else max_retries, "--max-retries", 0, parse.MAX_RETRIES)
    duration = _duration(max_duration)
    shape.check_duration(had, duration)
    variables_set = parse.parse_env(env)
    checked_image = defaults.default_image(chosen, found.accelerator) if not image else parse.parse_image(image)
    wanted = defaults.default_requirements(chosen, checked_image, parse_requirements(requirements, place))
    built = program.build(
        cell,
        variables or {},
        include=_paths(include),
        base=place,
        requirements=wanted,
        magic_line=magic_line,
    )
    return TrainSpec(
        name=checked_name,
        program=built,
        namespace=parse.check_namespace(namespace),
        run=run,
        owner=parse.label_value(owner),
        nodes=found.nodes,
        procs_per_node=found.procs_per_node,
        framework=cast(Framework, chosen),
        accelerator=found.accelerator,
        image=checked_image,
        env=variables_set,
        cpu=found.cpu,
        memory_gib=found.memory_gib,
        max_duration=duration,
        max_retries=retries,
        tpu=found.tpu,
        provisioning=had.model,
        reservation=had.reservation,
        zone=found.zone,
        machine_type=found.machine_type,
        compute_class=found.compute_class,
    )


def _duration(value: object) -> int | None:
    if value is None:
        return defaults.MAX_DURATION_SECONDS
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    return quantities.parse_duration(value)


def _paths(include: object) -> Sequence[str]:
    """Give the paths of `--include` as text; one alone, or a sequence, in which ``$paths`` may be another."""
    if include is None:
        return ()
    if isinstance(include, (str, Path)):
        return (str(include),)
    if isinstance(include, Sequence):
        found: list[str] = []
        for item in include:
            found += _paths(item)
        return found
    raise InvalidInput(f"--include takes paths, not {shown(include)}")
