"""What the autoscaler says: its log, its status ConfigMap, and the events of pods for which nothing grows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, PODS
from gke_notebook.errors import ApiError, ClusterUnreachable
from gke_notebook.sandbox.autoscaler import status, texts, visibility
from gke_notebook.sandbox.autoscaler.backoff import Failure
from gke_notebook.sandbox.autoscaler.cloud import Cloud
from gke_notebook.sandbox.autoscaler.groups import Group
from gke_notebook.sandbox.autoscaler.removal import COMPONENT
from gke_notebook.sandbox.autoscaler.scale_up import Unhelped
from gke_notebook.sandbox.autoscaler.view import View, leaving
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.meta import Event, Object, is_true, now, reference_to, timestamp, uid

LOG = logging.getLogger(__name__)

_BATCH = 100
_KEPT = 1_000  # entries that wait to be written at most
_RETRY_SECONDS = 5.0


class Reporter:
    """Writes in the background; what has not changed is not written again.

    Args:
        context: the client.
        cloud: where the log is.
    """

    def __init__(self, context: Context, cloud: Cloud) -> None:
        self._context = context
        self._cloud = cloud
        self._pods = context.informers.store(PODS)
        self._entries: deque[Object] = deque(maxlen=_KEPT)
        self._summary: Object = {}
        self._written: Object = {}
        self._since: dict[str, tuple[Object, str]] = {}
        self._map: Object | None = None
        self._events: list[Event] = []
        self._told: dict[str, str] = {}
        self._logged: Object = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._entries:
                batch = [self._entries.popleft() for _ in range(min(_BATCH, len(self._entries)))]
                await self._cloud.write_log(batch)
            try:
                await self._write_status()
            except (ApiError, ClusterUnreachable) as error:
                LOG.info("the status of the autoscaler: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()

    def log(self, payload: Object) -> None:
        """Write to the visibility log.

        Args:
            payload: the ``jsonPayload``, from `visibility`.
        """
        self._entries.append(visibility.entry(payload, time.time()))
        self._wake.set()

    def about_status(self, event: Event) -> None:
        """Record an event about the status ConfigMap, as the autoscaler does with what concerns no pod.

        Args:
            event: the event.
        """
        self._events.append(event)
        self._wake.set()

    # Pods for which nothing grows.

    def nobody_waits(self) -> None:
        """Forget what pods were told."""
        self._told.clear()
        self._logged = {}

    def unhelped(self, pods: Sequence[Unhelped], groups: Mapping[str, Group]) -> None:
        """Say why nothing grows: to each pod once, until the reasons are others.

        Args:
            pods: the pods with the reasons.
            groups: the groups by their URL.
        """
        told: dict[str, str] = {}
        for one in pods:
            message = one.message()
            if not message:
                continue  # there is no group that could grow at all
            event = texts.not_triggered(message)
            for pod in one.pods:
                told[uid(pod)] = message
                if self._told.get(uid(pod)) != message:
                    self._context.recorder.record(COMPONENT, reference_to(pod, "v1", "Pod"), event)
        self._told = told
        key = {"all": sorted((one.message(), len(one.pods)) for one in pods)}
        if pods and key != self._logged:
            self.log(visibility.no_scale_up(pods, groups))
        self._logged = key

    # The status.

    def status(
        self,
        there: View,
        failures: Mapping[str, Failure | None],
        candidates: Iterable[str],
        late: Mapping[str, int],
        nodes: Sequence[Object],
    ) -> None:
        """Take the status as it is now.

        Args:
            there: the groups.
            failures: the failure because of which each group is left alone.
            candidates: the nodes that are not needed.
            late: how many machines of each group could not be had.
            nodes: every node of the cluster.
        """
        names = list(candidates)
        groups = [
            (group, there.counts(name, names, late.get(name, 0)), failures.get(name))
            for name, group in there.groups.items()
        ]
        everything = status.Counts(
            total=len(nodes),
            ready=sum(is_true(node, "Ready") for node in nodes),
            deleting=sum(leaving(node) for node in nodes),
            coming=sum(counts.coming for _, counts, _ in groups),
            candidates=len(names),
        )
        self._summary = status.summary(groups, everything)
        if self._summary != self._written:
            self._wake.set()

    async def _write_status(self) -> None:
        if self._summary and self._summary != self._written:
            summary, at = self._summary, timestamp(now())
            document, since = status.document(summary, at, self._since)
            self._map = await self._put(yaml.safe_dump(document, sort_keys=False, width=1000), at)
            self._written, self._since = summary, since
        if self._map is not None:
            for event in self._events:
                self._context.recorder.record(COMPONENT, reference_to(self._map, "v1", "ConfigMap"), event)
            self._events.clear()

    async def _put(self, text: str, at: str) -> Object:
        metadata: dict[str, Any] = {"annotations": {status.UPDATED: at}}
        body: Object = {"metadata": metadata, "data": {"status": text}}
        client = self._context.client
        try:
            return await client.patch(CONFIG_MAPS, status.NAME, body, status.NAMESPACE, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.status != 404:
                raise
        metadata["name"], metadata["namespace"] = status.NAME, status.NAMESPACE
        return await client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", **body}, status.NAMESPACE)
