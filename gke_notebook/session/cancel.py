"""Stopping a job for good: a deadline that has passed ends a Job of any kind and leaves its record."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

from gke_notebook import names
from gke_notebook.cluster.client import MERGE_PATCH, Client
from gke_notebook.cluster.resources import JOBS, JOBSETS
from gke_notebook.errors import ApiError
from gke_notebook.insight.state import JobState

_DEADLINE = {"activeDeadlineSeconds": 1}
_LOOKS = 50  # for the Jobs of a JobSet that has just been created
_LOOK_SECONDS = 0.1


async def cancel(client: Client, state: JobState) -> None:
    """Stop a job for good; the annotation says who wanted it.

    A JobSet takes no deadline, but fails with the first of its Jobs that passes its own; its failure policy does not
    start it again for that.

    Args:
        client: of the cluster.
        state: the job.

    Raises:
        ApiError: it cannot be changed.
    """
    marked = {names.CANCELLED: datetime.now(timezone.utc).isoformat(timespec="seconds")}
    body = {"metadata": {"annotations": marked}}
    if state.slices == 1:
        await client.patch(JOBS, state.name, {**body, "spec": _DEADLINE}, state.namespace, content_type=MERGE_PATCH)
        return
    await client.patch(JOBSETS, state.name, body, state.namespace, content_type=MERGE_PATCH)
    for _ in range(_LOOKS):
        jobs = await client.list(JOBS, state.namespace, label_selector=f"{names.JOBSET_NAME}={state.name}")
        found = [job["metadata"]["name"] for job in jobs["items"]]
        if len(found) >= state.slices:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    for name in found:
        try:
            await client.patch(JOBS, name, {"spec": _DEADLINE}, state.namespace, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.status != 404:  # the JobSet has taken it away, because it has failed by now
                raise
