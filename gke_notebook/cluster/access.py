"""What we may do on a cluster, asked before the first write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import ACCESS_REVIEWS, IDENTITY_REVIEWS
from gke_notebook.errors import ApiError


@dataclass(frozen=True)
class Check:
    """One question of access.

    Args:
        verb: for example ``create``.
        resource: the plural, for example ``jobs``.
        group: the API group, empty for the core group.
        namespace: where; empty for all namespaces or a cluster-scoped resource.
        subresource: for example ``log``.
        name: one object; empty for any.

    Example:
        >>> str(Check("create", "jobs", "batch", "research"))
        'create jobs.batch in research'
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        sub = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {what}{sub}" + (f" in {self.namespace}" if self.namespace else "")


async def can_i(client: Client, checks: Iterable[Check]) -> dict[Check, bool]:
    """Ask the API server what we may do, all questions at once.

    Args:
        client: of the cluster.
        checks: the questions.

    Returns:
        Every question with its answer.

    Raises:
        ApiError: the server does not answer such questions.
        ClusterUnreachable: no answer.
    """
    questions = list(dict.fromkeys(checks))
    answers = await asyncio.gather(*(_allowed(client, check) for check in questions))
    return dict(zip(questions, answers, strict=True))


async def whoami(client: Client) -> str:
    """Ask the API server who it takes us for.

    Args:
        client: of the cluster.

    Returns:
        The user name; empty when the server (before Kubernetes 1.28) has no answer or does not tell us.
    """
    review = {"apiVersion": IDENTITY_REVIEWS.api_version, "kind": IDENTITY_REVIEWS.kind}
    try:
        answer = await client.create(IDENTITY_REVIEWS, review)
    except ApiError as error:
        if error.status in {403, 404}:
            return ""
        raise
    return str(answer.get("status", {}).get("userInfo", {}).get("username", ""))


async def _allowed(client: Client, check: Check) -> bool:
    attributes = {
        "verb": check.verb,
        "resource": check.resource,
        "group": check.group,
        "namespace": check.namespace,
        "subresource": check.subresource,
        "name": check.name,
    }
    review = {
        "apiVersion": ACCESS_REVIEWS.api_version,
        "kind": ACCESS_REVIEWS.kind,
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    answer = await client.create(ACCESS_REVIEWS, review)
    return bool(answer.get("status", {}).get("allowed", False))
