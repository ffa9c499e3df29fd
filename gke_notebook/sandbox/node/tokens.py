"""Service account tokens of pods: asked for, bound to the pod, and renewed before they end.

Source: kubernetes v1.34, pkg/kubelet/token/token_manager.go (renewed after 80 % of their time, after a day at most).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from gke_notebook.cluster.client import Client

Object = dict[str, Any]
_log = logging.getLogger(__name__)
DEFAULT_SECONDS = 3600
RENEWED_AFTER = 0.8  # of the time that a token is good for
_MOST = 24 * 3600.0
_RETRY = 10.0  # seconds


def key(source: Object) -> str:
    """Name a token by what is asked for: the seconds and the audience.

    Args:
        source: a ``serviceAccountToken`` of a projected volume.

    Example:
        >>> key({"path": "token", "audience": "vault"})
        '3600 vault'
    """
    return f"{source.get('expirationSeconds') or DEFAULT_SECONDS} {source.get('audience') or ''}"


def sources(volume: Object) -> Iterator[Object]:
    """Give the tokens of a volume."""
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("serviceAccountToken"):
            yield source["serviceAccountToken"]


def renewal(volume: Object) -> float | None:
    """Say after how many seconds a volume has to be written again, None for one without tokens.

    Args:
        volume: an entry of ``spec.volumes``.

    Example:
        >>> renewal({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 1000}}]}})
        800.0
    """
    seconds = [float(source.get("expirationSeconds") or DEFAULT_SECONDS) for source in sources(volume)]
    return min(_MOST, min(seconds) * RENEWED_AFTER) if seconds else None


async def request(client: Client, pod: Object, name: str) -> Object:
    """Ask for a token that is good as long as the pod is there.

    Args:
        client: the node agent's.
        pod: the pod's manifest.
        name: from `key`.

    Returns:
        The TokenRequest with its status.

    Raises:
        ApiError: it was refused.
    """
    seconds, _, audience = name.partition(" ")
    metadata = pod["metadata"]
    spec: Object = {
        "expirationSeconds": int(seconds),
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]},
    }
    if audience:
        spec["audiences"] = [audience]
    account = pod["spec"].get("serviceAccountName") or "default"
    raw = await client.request(
        "POST",
        f"/api/v1/namespaces/{metadata.get('namespace', 'default')}/serviceaccounts/{account}/token",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
    )
    answer: Object = json.loads(raw)
    return answer


async def keep_fresh(pod: Object, write: Callable[[list[Object]], Awaitable[None]]) -> None:
    """Have the volumes with tokens written again before the tokens end, until cancelled.

    Args:
        pod: the pod's manifest.
        write: writes volumes with new tokens.
    """
    found = [(volume, renewal(volume)) for volume in pod["spec"].get("volumes") or ()]
    due = {volume["name"]: seconds for volume, seconds in found if seconds is not None}
    if not due:
        return
    held = [volume for volume, _ in found if volume["name"] in due]
    delay = min(due.values())
    while True:
        await asyncio.sleep(delay)
        try:
            await write(held)
        except Exception as error:  # whatever it was, the pod goes on with the token that it has
            _log.warning("the token of pod %s is not renewed yet: %s", pod["metadata"]["name"], error)
            delay = min(_RETRY, *due.values())
        else:
            delay = min(due.values())
