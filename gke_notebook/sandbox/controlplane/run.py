"""A whole control plane from its start to its end: the one way in which the sandbox and the tests run it."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection, static_token
from gke_notebook.cluster.resources import NAMESPACES, SERVICE_ACCOUNTS, Resource
from gke_notebook.errors import ApiError, ClusterUnreachable, GkeNotebookError
from gke_notebook.sandbox import certificates
from gke_notebook.sandbox.controlplane import addons, commands, credentials
from gke_notebook.sandbox.controlplane.binaries import ADD_ONS, Binaries
from gke_notebook.sandbox.controlplane.credentials import Person
from gke_notebook.sandbox.controlplane.layout import LOOPBACK, Layout
from gke_notebook.sandbox.controlplane.processes import Component, Processes
from gke_notebook.sandbox.home import write_private

_log = logging.getLogger(__name__)
_PATIENCE = 120.0  # seconds; four suffice on an idle machine
_PAUSE = 0.05
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
_ADMISSION = "admissionregistration.k8s.io"
_WEBHOOKS = {
    "MutatingWebhookConfiguration": Resource(
        _ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False
    ),
    "ValidatingWebhookConfiguration": Resource(
        _ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", namespaced=False
    ),
}


class NotReady(GkeNotebookError):  # noqa: N818
    """The control plane runs, and a part of it did not become ready."""


@dataclass(frozen=True)
class Settings:
    """How a control plane is wanted.

    Args:
        binaries: its programs.
        root: the directory of its state, for its owner only.
        logs: the directory of its logs.
        tls: the directory of the certificate that everything on loopback serves with (`sandbox.certificates`).
        people: who may come, with which token; the first one must be in ``system:masters``.
        port: the API server's port if it is free, 0 for no wish.
        add_ons: of JobSet and Kueue those to run; None runs those that `binaries` has.
        controllers: run kube-controller-manager and kube-scheduler too.
        durable: wait for the disk at each write.
    """

    binaries: Binaries
    root: Path
    logs: Path
    tls: Path
    people: tuple[Person, ...] = field(repr=False)
    port: int = 0
    add_ons: tuple[str, ...] | None = None
    controllers: bool = True
    durable: bool = True


class ControlPlane:
    """A control plane of this process; start it, use it, stop it.

    Args:
        settings: how it is wanted.
        reported: called with a line of text whenever a component has ended by itself.
    """

    def __init__(self, settings: Settings, reported: Callable[[str], None] | None = None) -> None:
        self.settings = settings
        self._layout = Layout(settings.root)
        self._layout.create()
        settings.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.tls.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.certificates = certificates.ensure(settings.tls)
        self.keys = credentials.ensure_keys(self._layout, self.certificates)
        self.ports = self._layout.choose_ports(settings.port)
        self.processes = Processes(settings.root, settings.logs, reported)
        self.server = f"https://{LOOPBACK}:{self.ports.apiserver}"

    @property
    def authority(self) -> str:
        """The PEM text of the authority to trust."""
        return self.certificates.authority.read_text()

    @property
    def client_authority(self) -> Path:
        """The PEM file of the authority whose client certificates a kubelet must accept."""
        return self.keys.client_authority

    def connection(self) -> Connection:
        """Give a connection with every right."""
        return Connection(
            server=self.server,
            context="control plane",
            tls=ssl.create_default_context(cafile=str(self.certificates.authority)),
            token=static_token(self.settings.people[0].token),
        )

    async def start(self) -> None:
        """Start every component and wait until they are ready.

        Raises:
            ComponentFailed: one of them ended; the text has its name and last lines.
            NotReady: one of them runs and does not answer.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings, layout = self.settings, self._layout
        credentials.write_tokens(layout, settings.people, self.server, self.authority)
        await self.processes.open()
        await self._launch(
            "etcd", commands.etcd(layout, self.ports, self.certificates, self.keys, durable=settings.durable), grace=5.0
        )
        await self._launch(
            "kube-apiserver", commands.apiserver(layout, self.ports, self.certificates, self.keys), grace=2.0
        )
        async with Client(self.connection(), field_manager="gke-notebook-sandbox") as client:
            await self._until("kube-apiserver", lambda: _answers(client))
            if settings.controllers:
                await self._launch(
                    "kube-controller-manager", commands.controller_manager(layout, self.certificates, self.keys)
                )
                await self._launch("kube-scheduler", commands.scheduler(layout))
            await self._add_ons(client)
            if settings.controllers:
                await self._until("kube-controller-manager", lambda: _has_account(client))
        self.processes.check()
        self.processes.starting = False

    async def stop(self) -> None:
        """End every component."""
        await self.processes.close()

    async def _launch(self, name: str, arguments: Sequence[str], grace: float = 0.0) -> None:
        command = [str(self.settings.binaries.programs[name]), *arguments]
        await self.processes.start(Component(name, command, self.settings.root, grace))

    async def _until(self, name: str, ask: Callable[[], object]) -> None:
        begun = time.monotonic()
        while True:
            self.processes.check()
            answer = ask()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            if time.monotonic() - begun > _PATIENCE:
                raise NotReady(
                    f"{name} is not ready after {_PATIENCE:.0f} s; its log {self.processes.log(name)} ends with:\n"
                    + self.processes.last_words(self.processes.components[name]).partition("\n")[2]
                )
            await asyncio.sleep(_PAUSE)

    async def _add_ons(self, client: Client) -> None:
        wanted = self.settings.binaries.add_ons if self.settings.add_ons is None else self.settings.add_ons
        for name in ADD_ONS:
            if name not in wanted:
                await _remove_webhooks(client, name)
        # JobSet first: Kueue looks whether its kind is served.
        for name in wanted:
            await self._install(client, name)
        for name in wanted:
            await self._launch(name, commands.add_on(name, self._layout))
        async with aiohttp.ClientSession() as http:
            for name in wanted:
                url = addons.health_url(self.ports, name)
                await self._until(name, lambda url=url: _healthy(http, url))  # type: ignore[misc]
        for name in wanted:
            await self._hook(client, name)

    async def _install(self, client: Client, name: str) -> None:
        binaries = self.settings.binaries
        if name == "kueue" and addons.wants_metrics_certificates(binaries.programs[name]):
            raise NotReady(
                f"{binaries.programs[name]} demands a certificate in {addons.KUEUE_METRICS}; put one there, or use the "
                "one that `make control-plane` builds, which does not"
            )
        if name == "kueue":
            await asyncio.get_running_loop().run_in_executor(None, self._metrics_certificates)
        document = addons.configuration(name, self.ports, self.keys.webhooks)
        write_private(self._layout.configuration(name), msgspec.json.encode(document).decode())  # JSON is YAML
        await _create(client, NAMESPACES, {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": addons.namespace(name)},
        })  # fmt: skip
        definitions = addons.read_manifests(binaries.manifests(name) / "crds.json")
        port = addons.webhook_port(self.ports, name)
        await asyncio.gather(
            *(
                client.apply(CRDS, addons.custom_resource(definition, port, self.authority), force=True)
                for definition in definitions
            )
        )
        for definition in definitions:
            crd = str(definition["metadata"]["name"])
            await self._until("kube-apiserver", lambda crd=crd: _established(client, crd))  # type: ignore[misc]

    def _metrics_certificates(self) -> None:
        """Put a certificate where the built Kueue looks for one: below its working directory."""
        folder = self.settings.root / addons.KUEUE_METRICS_HERE
        folder.mkdir(exist_ok=True, mode=0o700)
        for name in ("tls.crt", "tls.key"):
            write_private(folder / name, (self.keys.webhooks / name).read_text())

    async def _hook(self, client: Client, name: str) -> None:
        for found in addons.read_manifests(self.settings.binaries.manifests(name) / "webhooks.json"):
            port = addons.webhook_port(self.ports, name)
            wanted = addons.webhook_configuration(found, name, port, self.authority)
            await client.apply(_WEBHOOKS[found["kind"]], wanted, force=True)


async def _answers(client: Client) -> bool:
    try:
        await client.request("GET", "/readyz", timeout=5.0)
    except (ApiError, ClusterUnreachable):
        return False
    return True


async def _has_account(client: Client) -> bool:
    """Say whether the controller manager works: pods of a namespace without a service account are refused."""
    try:
        await client.get(SERVICE_ACCOUNTS, "default", "default")
    except (ApiError, ClusterUnreachable):
        return False
    return True


async def _established(client: Client, name: str) -> bool:
    conditions = (await client.get(CRDS, name)).get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


async def _healthy(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=5.0)) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
        return False


async def _create(client: Client, resource: Resource, body: dict[str, object]) -> None:
    try:
        await client.create(resource, body)
    except ApiError as error:
        if error.status != 409:
            raise


async def _remove_webhooks(client: Client, name: str) -> None:
    """Take away the webhooks of an add-on that does not run this time, which would refuse every job."""
    for resource in _WEBHOOKS.values():
        for item in (await client.list(resource))["items"]:
            if item["metadata"]["name"].startswith(f"{name}-"):
                await client.delete(resource, item["metadata"]["name"])
