"""Creating exactly what the plan shows: all of it, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gke_notebook import names
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import CONFIG_MAPS, JOBS, JOBSETS, NAMESPACES, SERVICES, Resource, resource_of
from gke_notebook.errors import ApiError, GkeNotebookError, InvalidInput, nearest
from gke_notebook.insight.state import ENDED, JobState
from gke_notebook.launch import contract
from gke_notebook.objects import Manifest
from gke_notebook.session.plan import Plan

_GONE_SECONDS = 30.0


async def check(client: Client, plan: Plan, *, replacing: bool = False) -> None:
    """Ask the server whether it would accept every object of a plan; nothing is written.

    Args:
        client: the client.
        plan: the plan.
        replacing: whether objects of the same names may exist, because they will be deleted first.

    Raises:
        InvalidInput: the namespace does not exist, or something of that name does.
        ApiError: the server refuses an object: quota, rights, admission.
    """

    async def ask(manifest: Manifest) -> None:
        try:
            await client.create(resource_of(manifest), manifest, dry_run=True)
        except ApiError as error:
            if error.reason == "AlreadyExists" and replacing:
                return
            raise await explain(client, plan, manifest, error) from error

    await asyncio.gather(*(ask(manifest) for manifest in plan.manifests))


async def explain(client: Client, plan: Plan, manifest: Manifest, error: ApiError) -> GkeNotebookError:
    """Put a refusal into words of what the user asked for.

    Args:
        client: the client.
        plan: the plan.
        manifest: the object that was refused.
        error: the refusal.
    """
    kind, name, namespace = manifest["kind"], manifest["metadata"]["name"], plan.spec.namespace
    if error.reason == "AlreadyExists":
        free = await _free_name(client, plan)
        return InvalidInput(
            f"{kind} {name!r} exists already in namespace {namespace}; use another name, for example {free!r}, "
            "or --replace to delete it first when it has ended"
        )
    if error.reason == "NotFound" and error.details.get("kind") == "namespaces":
        return InvalidInput(f"namespace {namespace!r} does not exist; {await nearest_namespace(client, namespace)}")
    if error.status == 403:
        return ApiError(
            error.status, error.reason, f"{kind} {name}: {error.message} (nothing was created)", error.details
        )
    return error


async def _free_name(client: Client, plan: Plan) -> str:
    jobs = await client.list(JOBS, plan.spec.namespace)
    taken = {item["metadata"]["name"] for item in jobs["items"]}
    stem = plan.spec.name[: names.MAX_NAME_LENGTH - 4]
    return next(name for number in range(2, 10_000) if (name := f"{stem}-{number}") not in taken)


async def nearest_namespace(client: Client, namespace: str) -> str:
    """Say which namespace was meant, as far as we may know.

    Args:
        client: the client.
        namespace: what was written.
    """
    try:
        listed = await client.list(NAMESPACES)
    except ApiError:
        return "ask for the namespaces that you may use"  # listing them is a right of its own
    return nearest(namespace, [item["metadata"]["name"] for item in listed["items"]])


async def create(client: Client, plan: Plan) -> None:
    """Create every object of a plan in order; when one is refused, remove what was made.

    Args:
        client: the client.
        plan: the plan.

    Raises:
        GkeNotebookError: an object was refused. The text names what could not be removed again, if anything.
    """
    made: list[Manifest] = []
    try:
        for manifest in plan.manifests:
            made.append(await client.create(resource_of(manifest), manifest))  # noqa: PERF401 - kept when one fails
        await _own(client, made)
    except BaseException as error:
        # Also when interrupted: the removal itself must not be.
        left = await asyncio.shield(_remove(client, plan, made))
        if isinstance(error, ApiError):
            failed = await explain(client, plan, plan.manifests[min(len(made), len(plan.manifests) - 1)], error)
            if left:
                raise GkeNotebookError(f"{failed}; could not be removed again: {', '.join(left)}") from error
            raise failed from error
        raise


async def _own(client: Client, made: Sequence[Manifest]) -> None:
    """Make the Job or JobSet the owner of the rest, so that whoever deletes it deletes all."""
    job = made[-1]
    owner = {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
    }
    for manifest in made[:-1]:
        await client.patch(
            resource_of(manifest),
            manifest["metadata"]["name"],
            {"metadata": {"ownerReferences": [owner]}},
            manifest["metadata"]["namespace"],
        )


async def _remove(client: Client, plan: Plan, made: Sequence[Manifest]) -> list[str]:
    left = []
    for manifest in reversed(made):
        name = manifest["metadata"]["name"]
        try:
            await client.delete(resource_of(manifest), name, plan.spec.namespace)
        except ApiError as error:
            if error.status != 404:
                left.append(f"{manifest['kind']} {name}")
        except GkeNotebookError:
            left.append(f"{manifest['kind']} {name}")
    return left


async def remove_ended(client: Client, state: JobState) -> None:
    """Delete an ended job with everything that belongs to it, and wait until it is gone.

    Args:
        client: the client.
        state: the job.

    Raises:
        InvalidInput: it has not ended.
    """
    if state.phase not in ENDED:
        raise InvalidInput(
            f"job {state.name!r} exists and is {state.phase}; %gke_cancel {state.name} first, or use another name"
        )
    targets: list[tuple[Resource, str]] = [(CONFIG_MAPS, state.name)]
    targets.insert(0, (JOBSETS if state.slices > 1 else JOBS, state.name))
    if state.slices == 1:
        targets.append((SERVICES, state.name))
    for resource, name in targets:
        await _delete_ours(client, resource, name, state.namespace)
    if state.slices > 1:
        # They go with their JobSet, and a new one could not make its own while they are there.
        targets.append((SERVICES, state.name))
        targets += [(JOBS, f"{state.name}-{contract.SLICE_JOB}-{number}") for number in range(state.slices)]
    waited = 0.0
    while waited < _GONE_SECONDS:
        if not any([await _exists(client, resource, name, state.namespace) for resource, name in targets]):
            return
        await asyncio.sleep(0.05)  # a deletion has no answer to wait for when finalizers hold it
        waited += 0.05
    raise GkeNotebookError(f"job {state.name!r} is still being deleted; try again in a moment, or use another name")


async def _delete_ours(client: Client, resource: Resource, name: str, namespace: str) -> None:
    try:
        found = await client.get(resource, name, namespace)
        if found["metadata"].get("labels", {}).get(names.MANAGED_BY) != names.MANAGER:
            raise InvalidInput(
                f"{resource.kind} {name!r} in namespace {namespace} was not made by gke-notebook; use another name"
            )
        await client.delete(resource, name, namespace)
    except ApiError as error:
        if error.status != 404:
            raise


async def _exists(client: Client, resource: Resource, name: str, namespace: str) -> bool:
    try:
        await client.get(resource, name, namespace)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True
