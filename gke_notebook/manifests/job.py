"""The Indexed Job of a spec, its pods, and the headless Service that names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_notebook import names
from gke_notebook.errors import InvalidInput
from gke_notebook.launch import contract
from gke_notebook.manifests import gpudirect, placement
from gke_notebook.manifests.facts import NOTHING_KNOWN, ClusterFacts
from gke_notebook.manifests.program import items
from gke_notebook.specs import TrainSpec

if TYPE_CHECKING:
    from gke_notebook.objects import Manifest

CONTAINER = "trainer"

# A day to read the log and fetch the result; then the Job and its pods are removed by Kubernetes.
KEEP_SECONDS = 86400
# A spot VM has 30 s notice, of which ordinary pods get 15 to 25 (GKE documentation, "Spot VMs"; gke_facts 7.7, 2026);
# a longer period would only be cut off.
GRACE_SECONDS = 25


def job(
    spec: TrainSpec, labels: dict[str, str], annotations: dict[str, str], facts: ClusterFacts = NOTHING_KNOWN
) -> Manifest:
    """Give the Indexed Job: one pod a node.

    Args:
        spec: the job.
        labels: of the Job and its pods.
        annotations: of the Job and its pods.
        facts: its cluster.

    Raises:
        InvalidInput: a variable's name is taken, there is no such accelerator, or the cluster has no such choice.
    """
    job_spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": spec.nodes,
        "parallelism": spec.nodes,
        # One index that fails for good fails the Job, because the others wait for it.
        "backoffLimitPerIndex": spec.max_retries,
        "maxFailedIndexes": 0,
    }
    if spec.max_retries:
        # Losing a node (a preempted spot VM, an upgrade) uses up no retry; without retries it ends the job.
        job_spec["podFailurePolicy"] = {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        }
    if spec.max_duration is not None:
        job_spec["activeDeadlineSeconds"] = spec.max_duration
    job_spec["ttlSecondsAfterFinished"] = KEEP_SECONDS
    job_spec["template"] = pod_template(spec, labels, annotations, facts)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(spec, labels, annotations),
        "spec": job_spec,
    }


def service(spec: TrainSpec, labels: dict[str, str], annotations: dict[str, str]) -> Manifest:
    """Give the headless Service, by which each pod is ``<job>-<index>.<job>`` to the others.

    Args:
        spec: the job.
        labels: of the object.
        annotations: of the object.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(spec, labels, annotations),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # ranks look for each other before any is ready
            "selector": {names.JOB_NAME: spec.name},
            "ports": [{"name": "rendezvous", "port": contract.RENDEZVOUS_PORT}],
        },
    }


def environment(spec: TrainSpec) -> list[dict[str, Any]]:
    """Give the container's variables: those of the contract, then the user's.

    Args:
        spec: the job.

    Raises:
        InvalidInput: the user sets a variable that the launcher needs.
    """
    for name, _ in spec.env:
        if name.startswith(contract.RESERVED_PREFIX) or name in contract.RESERVED:
            raise InvalidInput(
                f"the variable {name} is set by gke-notebook itself; choose another name in --env {name}=..."
            )
    variables = {
        contract.ENV_JOB: spec.name,
        contract.ENV_RUN: spec.run,
        contract.ENV_NODES: str(spec.nodes),
        contract.ENV_PROCS_PER_NODE: str(spec.procs_per_node),
        contract.ENV_FRAMEWORK: spec.framework,
        contract.ENV_ACCELERATORS: next(iter(placement.accelerators(spec).values()), "0"),
        contract.ENV_COORDINATOR: f"{_host(spec, 0)}:{contract.RENDEZVOUS_PORT}",
    }
    if spec.tpu is not None:
        variables[contract.ENV_TPU] = f"{spec.tpu.type}:{spec.tpu.topology}"
    if spec.slices > 1:
        variables[contract.ENV_SLICES] = str(spec.slices)
    if spec.framework == "tensorflow":
        variables[contract.ENV_WORKERS] = ",".join(
            f"{_host(spec, node)}:{contract.TENSORFLOW_PORT + local}"
            for node in range(spec.nodes)
            for local in range(spec.procs_per_node)
        )
    variables.update(
        {
            contract.ENV_PROGRAM: contract.PROGRAM_DIRECTORY,
            contract.ENV_WORK: contract.WORK_DIRECTORY,
            contract.ENV_OUTPUT: contract.OUTPUT_DIRECTORY,
            contract.ENV_TERMINATION_LOG: contract.TERMINATION_LOG,
            "PYTHONUNBUFFERED": "1",
        }
    )
    variables.update((name, escape(value)) for name, value in spec.env)
    listed: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in variables.items()]
    count = {"fieldRef": {"fieldPath": f"metadata.annotations['{names.INDEX_FAILURE_COUNT}']"}}
    listed.append({"name": contract.ENV_RETRY, "valueFrom": count})
    if spec.slices > 1:
        number = {"fieldRef": {"fieldPath": f"metadata.annotations['{names.JOBSET_JOB_INDEX}']"}}
        listed.append({"name": contract.ENV_SLICE, "valueFrom": number})
    return listed


def escape(value: str) -> str:
    """Write a variable's value so that Kubernetes expands nothing in it: ``$(NAME)`` and ``$$`` mean themselves.

    Args:
        value: the value as the user wrote it.

    Example:
        >>> escape("$(HOME)"), escape("5 $")
        ('$$(HOME)', '5 $')
    """
    return value.replace("$", "$$") if "$(" in value or "$$" in value else value


def _host(spec: TrainSpec, node: int) -> str:
    if spec.slices == 1:
        return f"{spec.name}-{node}.{spec.name}"
    number, index = divmod(node, spec.nodes_per_slice)
    return f"{spec.name}-{contract.SLICE_JOB}-{number}-{index}.{spec.name}"


def metadata(spec: TrainSpec, labels: dict[str, str], annotations: dict[str, str]) -> dict[str, Any]:
    """Give the metadata of an object of a job, which is named after it.

    Args:
        spec: the job.
        labels: of the object.
        annotations: of the object.
    """
    return {
        "name": spec.name,
        "namespace": spec.namespace,
        "labels": dict(labels),
        "annotations": dict(annotations),
    }


def pod_template(
    spec: TrainSpec, labels: dict[str, str], annotations: dict[str, str], facts: ClusterFacts = NOTHING_KNOWN
) -> dict[str, Any]:
    """Give the template of a job's pods.

    Args:
        spec: the job.
        labels: of the pods.
        annotations: of the pods.
        facts: its cluster.

    Raises:
        InvalidInput: as `job`.
    """
    pod, own = _pod(spec, facts), dict(annotations)
    network = gpudirect.usable(spec, facts)
    if network is not None:
        gpudirect.add(pod, own, network, facts.networks)
    return {"metadata": {"labels": dict(labels), "annotations": own}, "spec": pod}


def _pod(spec: TrainSpec, facts: ClusterFacts) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        # A JobSet names its pods after the Service that it makes itself.
        **({"subdomain": spec.name} if spec.slices == 1 else {}),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,  # training code has no business with the Kubernetes API
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    requests: dict[str, str] = {"cpu": cpu_quantity(spec.cpu), "memory": memory_quantity(spec.memory_gib)}
    limits: dict[str, str] = {"memory": requests["memory"]}
    for resource, count in placement.accelerators(spec).items():
        requests[resource] = limits[resource] = count
    selector, tolerations = placement.node_selector(spec, facts), placement.tolerations(spec)
    if selector:
        pod["nodeSelector"] = selector
    if tolerations:
        pod["tolerations"] = tolerations
    volumes: list[dict[str, Any]] = [
        {"name": "program", "configMap": {"name": spec.name, "items": items(spec)}},
        {"name": "work", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "program", "mountPath": contract.PROGRAM_DIRECTORY, "readOnly": True},
        {"name": "work", "mountPath": contract.WORK_DIRECTORY},
    ]
    if spec.framework == "torch" or spec.accelerator is not None or spec.tpu is not None:
        # PyTorch's data loaders and NCCL share memory there, and a container has only 64 MiB of it otherwise.
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory"}})
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 - a mount point, no file
    pod["containers"] = [
        {
            "name": CONTAINER,
            "image": spec.image,
            "command": ["python3", f"{contract.PROGRAM_DIRECTORY}/{contract.BOOTSTRAP_FILE}"],
            "workingDir": contract.WORK_DIRECTORY,
            "env": environment(spec),
            "resources": {"requests": requests, "limits": limits},
            "volumeMounts": mounts,
            "terminationMessagePath": contract.TERMINATION_LOG,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ]
    pod["volumes"] = volumes
    return pod


def cpu_quantity(cores: float) -> str:
    """Write a number of CPUs as a quantity.

    Args:
        cores: CPUs.

    Example:
        >>> cpu_quantity(2.0), cpu_quantity(0.5)
        ('2', '500m')
    """
    milli = round(cores * 1000)
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def memory_quantity(gib: float) -> str:
    """Write an amount of memory as a quantity.

    Args:
        gib: in GiB.

    Example:
        >>> memory_quantity(2.0), memory_quantity(0.5)
        ('2Gi', '512Mi')
    """
    mib = round(gib * 1024)
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"
