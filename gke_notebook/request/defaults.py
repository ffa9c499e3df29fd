"""What a job gets when its user does not say: image, CPUs, memory; and what is worth knowing about that. Pure."""

from __future__ import annotations

import ast
import math
import re
import sys
from collections.abc import Iterable

from gke_notebook import catalog, program
from gke_notebook.errors import InvalidInput
from gke_notebook.manifests import hosts
from gke_notebook.specs import AcceleratorRequest, Program, TpuRequest, TrainSpec

MAX_DURATION_SECONDS = 3600  # a cap is always there: what is forgotten must not be billed over a weekend
# Public tags on Docker Hub (2026-11): pytorch/pytorch holds CUDA and cuDNN, tensorflow/tensorflow only with -gpu.
TORCH_IMAGE = "pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime"
TENSORFLOW_IMAGE = "tensorflow/tensorflow:2.20.0"
_PYTHON_IMAGE = re.compile(r"python:[\w.]+-slim")
# Import names whose distribution is called otherwise; asked only when the notebook's environment does not know.
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
_FRAMEWORK_PACKAGES = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow"}


def default_image(framework: str, accelerator: AcceleratorRequest | None) -> str:
    """Give the image of a framework: with its CUDA libraries where it has accelerators.

    Without a framework, and for JAX, which has no image of its own on Docker Hub, the official image of the notebook's
    own Python; packages come by ``--requirements``.

    Args:
        framework: one of `specs.FRAMEWORKS`.
        accelerator: what each node holds.

    Example:
        >>> default_image("tensorflow", None)
        'tensorflow/tensorflow:2.20.0'
    """
    if framework == "torch":
        return TORCH_IMAGE
    if framework == "tensorflow":
        return TENSORFLOW_IMAGE + ("-gpu" if accelerator else "")
    return f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def default_resources(
    accelerator: AcceleratorRequest | None, procs_per_node: int, tpu: TpuRequest | None = None, machine_type: str = ""
) -> tuple[float, float]:
    """Give the CPUs and the memory that one node requests.

    With accelerators three quarters of the smallest machine that carries them, or of the one that was asked for, so
    that the pod has the machine to itself and the cluster's own pods still fit; on N1 machines, which take any number
    of CPUs, 2 CPUs and 8 GiB an accelerator. Without, 1 CPU and 4 GiB a process, the shape of most machine types.

    Args:
        accelerator: what each node holds.
        procs_per_node: ranks on each node.
        tpu: the TPU slices.
        machine_type: what each node must be, empty for any.

    Returns:
        CPUs and GiB.

    Example:
        >>> default_resources(AcceleratorRequest("l4", 2), 2), default_resources(None, 2)
        ((18.0, 72.0), (2.0, 8.0))
    """
    if tpu is not None or (machine_type and accelerator is not None):
        asked = hosts.host(accelerator, tpu, machine_type, 0.0, 0.0)
        assert asked is not None  # a machine that is named, or that of a topology
        return _part(asked)
    if accelerator is None:
        return float(procs_per_node), 4.0 * procs_per_node
    if catalog.accelerator(accelerator.type).attach:
        return 2.0 * accelerator.count, 8.0 * accelerator.count
    machine = catalog.machine_for(accelerator.type, accelerator.count)
    if machine is None:  # chosen only by name
        return float(4 * accelerator.count), 16.0 * accelerator.count
    return _part(machine)


def _part(machine: catalog.MachineType) -> tuple[float, float]:
    return max(0.5, float(math.floor(machine.vcpus * 0.75))), float(math.floor(machine.memory_gib * 0.75))


def check_holds(machine: catalog.MachineType | None, cpu: float, memory_gib: float) -> None:
    """Refuse CPUs and memory that one machine does not have.

    Args:
        machine: what each node is, None when the catalog does not say.
        cpu: CPUs requested.
        memory_gib: GiB requested.

    Raises:
        InvalidInput: it is too small; the text says what it leaves to pods.
    """
    if machine is None:
        return
    cpus, memory = catalog.allocatable(machine)
    if cpu > cpus or memory_gib > memory:
        raise InvalidInput(
            f"{machine.name} does not leave {cpu:g} CPUs and {memory_gib:g} GiB to one pod; "
            f"at most {math.floor(cpus)} CPUs and {math.floor(memory)} GiB"
        )


def check_fits(accelerator: AcceleratorRequest, cpu: float, memory_gib: float) -> None:
    """Refuse CPUs and memory that no machine with these accelerators has.

    Args:
        accelerator: what each node holds.
        cpu: CPUs requested.
        memory_gib: GiB requested.

    Raises:
        InvalidInput: no machine is large enough; the text says what the largest has.
    """
    if catalog.machine_for(accelerator.type, accelerator.count, cpu, memory_gib) is not None:
        return
    found = catalog.accelerator(accelerator.type)
    what = f"{accelerator.count} x {found.title}"
    # The largest by trial, because what is left on a machine for pods is the catalog's to say.
    most_cpu = _most(lambda asked: catalog.machine_for(found, accelerator.count, cpu=asked) is not None, 1024)
    most_memory = _most(
        lambda asked: catalog.machine_for(found, accelerator.count, memory_gib=asked) is not None, 32768
    )
    if not most_cpu:
        return  # its machines are chosen only by name
    raise InvalidInput(
        f"no machine with {what} leaves {cpu:g} CPUs and {memory_gib:g} GiB to one pod; "
        f"at most {most_cpu} CPUs and {most_memory} GiB"
    )


def default_requirements(framework: str, image: str, given: tuple[str, ...]) -> tuple[str, ...]:
    """Add the framework itself where the image is bare Python and nobody has named it.

    Args:
        framework: one of `specs.FRAMEWORKS`.
        image: the container image.
        given: the requirements that the user has named.

    Example:
        >>> default_requirements("jax", "python:3.11-slim", ("numpy",))
        ('jax', 'numpy')
    """
    package = _FRAMEWORK_PACKAGES.get(framework)
    if package is None or not _PYTHON_IMAGE.fullmatch(image) or package in map(_project, given):
        return given
    return (package, *given)


def notes(spec: TrainSpec) -> tuple[str, ...]:
    """Give what is worth knowing about a spec before it is created: what the image may lack, secrets in plain sight.

    Args:
        spec: the job.
    """
    found = list(program.notes(spec.program))
    secret = [name for name, value in spec.env if program.looks_secret(name, value)]
    if secret:
        found.append(
            f"--env {', '.join(secret)} may be a secret: it stands in the Job, readable to whoever may read the "
            "namespace's Jobs; keep secrets in Secret Manager and read them in the cell"
        )
    if spec.accelerator is not None and catalog.accelerator(spec.accelerator.type).architecture != "amd64":
        found.append(f"nodes with {spec.accelerator.type} have Arm CPUs: {spec.image} must be built for arm64")
    if _PYTHON_IMAGE.fullmatch(spec.image):
        lacking = lacking_packages(spec.program)
        if lacking:
            listed = ",".join(lacking)
            found.append(
                f"{spec.image} holds nothing but Python: name what the cell imports with --requirements {listed}"
            )
        plain = {
            one.split("[")[0].strip() for one in spec.program.requirements if _project(one) == "jax" and "[" not in one
        }
        if spec.framework == "jax" and plain and (spec.accelerator is not None or spec.tpu is not None):
            extra, what = ("cuda12", "GPUs") if spec.tpu is None else ("tpu", "TPUs")
            found.append(f"jax alone runs on CPUs; --requirements 'jax[{extra}]' brings what it needs for {what}")
    if spec.tpu is not None and spec.framework in {"torch", "tensorflow"}:
        found.append(f"{spec.framework} reaches TPU chips only from an image made for them: name one with --image")
    return tuple(found)


def lacking_packages(shipped: Program) -> tuple[str, ...]:
    """Say which packages a program imports that neither its requirements nor its files hold, by what pip calls them.

    Args:
        shipped: the program.
    """
    asked = {_project(requirement) for requirement in shipped.requirements}
    files = {file.path.split("/")[0].removesuffix(".py") for file in shipped.files}
    imported: set[str] = set()
    for source in (shipped.cell, *(name.source for name in shipped.names)):
        imported.update(_imported(source))
    outside = sorted(imported - set(sys.stdlib_module_names) - files - {"__main__"})
    known = _distributions() if outside else {}
    lacking = {
        top: {_normal(name) for name in known.get(top, ())} | {_normal(_DISTRIBUTIONS.get(top, top))} for top in outside
    }
    return tuple(_DISTRIBUTIONS.get(top, min(names, key=len)) for top, names in lacking.items() if not names & asked)


def _imported(source: str) -> Iterable[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        elif (
            isinstance(node, ast.Call)
            and node.args
            and ast.unparse(node.func).endswith(("__import__", "import_module"))
        ):
            # As `program` writes the modules of values.
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value.split(".")[0]


def _distributions() -> dict[str, list[str]]:
    from importlib import metadata

    return dict(metadata.packages_distributions()) if hasattr(metadata, "packages_distributions") else {}


def _project(requirement: str) -> str:
    found = re.match(r"[\w.\-]+", requirement)
    return _normal(found[0]) if found else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PyPA, "Name normalization"


def _most(fits: object, limit: int) -> int:
    assert callable(fits)
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
