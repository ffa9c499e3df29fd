"""A node agent beside a running API server, and pods bound to its nodes by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.cluster.resources import CONFIG_MAPS, EVENTS, PODS
from gke_notebook.errors import ApiError
from gke_notebook.sandbox import node
from gke_notebook.sandbox.pools import NodePool, node_names
from tests.support.apiserver import KUBELET_TOKEN, running_server, test_certificates

POOL = NodePool("cpu", "e2-standard-32", 1, 32, 128)
GPU = NodePool("l4", "g2-standard-24", 1, 24, 96, accelerator="nvidia-l4", accelerator_count=2)
SIMULATED = NodePool("simulated", "e2-standard-32", 10, 32, 128, runs_processes=False)
PATIENCE = 90.0  # seconds: never a measure, only an end for a test that hangs

Object = dict[str, Any]


def node_config(directory: Path, *pools: NodePool, **more: Any) -> node.NodeConfig:
    pems = test_certificates()
    return node.NodeConfig(
        pools=pools or (POOL,), directory=directory, kubelet_token=KUBELET_TOKEN, tls_certificate=pems.certificate,
        tls_key=pems.key, **more,
    )  # fmt: skip


def pod(name: str, code: str | list[str] = "", pool: NodePool = POOL, **spec: Any) -> Object:
    """A pod whose one container runs Python code, or a command line."""
    command = ["python3", "-c", code] if isinstance(code, str) else code
    container = {"name": "main", "image": "python:3.12", "command": command, **spec.pop("container", {})}
    metadata = {"name": name, "labels": spec.pop("labels", {}), "annotations": spec.pop("annotations", {})}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {
            "nodeName": node_names(pool)[0], "restartPolicy": "Never", "containers": [container],
            "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 30, **spec,
        },
    }  # fmt: skip


@dataclass
class Bench:
    """The client of a test, and what a test asks of pods."""

    client: Client
    directory: Path

    async def create(self, *pods: Object) -> None:
        await asyncio.gather(*(self.client.create(PODS, body, "default") for body in pods))

    async def config(self, name: str, **data: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        await self.client.create(CONFIG_MAPS, body, "default")

    async def until(self, name: str, what: Callable[[Object], Any]) -> Object:
        """Wait until a pod is as asked for."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            found = await self.client.get(PODS, name, "default")
            if what(found):
                return found
            assert asyncio.get_running_loop().time() < deadline, found["status"]
            await asyncio.sleep(0.02)

    async def ended(self, name: str) -> Object:
        return await self.until(name, lambda found: found["status"].get("phase") in ("Succeeded", "Failed"))

    async def running(self, name: str) -> Object:
        return await self.until(name, lambda found: found["status"].get("phase") == "Running")

    async def gone(self, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            try:
                await self.client.get(PODS, name, "default")
            except ApiError as error:
                if error.status == 404:
                    return
                raise
            await asyncio.sleep(0.02)
        raise AssertionError(f"pod {name} is still there")

    async def logs(self, name: str, container: str = "", **params: str) -> str:
        if container:
            params["container"] = container
        path = PODS.path("default", name, "log")
        return (await self.client.request("GET", path, params=params)).decode()

    async def log_has(self, name: str, text: str) -> str:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            with contextlib.suppress(ApiError):
                log = await self.logs(name)
                if text in log:
                    return log
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)

    async def event(self, name: str, reason: str) -> Object:
        """Wait for an event of a pod."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            listed = await self.client.list(EVENTS, "default", field_selector=f"involvedObject.name={name}")
            for event in listed["items"]:
                if event["reason"] == reason:
                    return event
            assert asyncio.get_running_loop().time() < deadline, [e["reason"] for e in listed["items"]]
            await asyncio.sleep(0.02)


def client_certificate(directory: Path) -> tuple[Path, Path, Path]:
    """An authority and a client certificate with its key, as a kube-apiserver presents one to kubelets."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.timezone.utc)
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubelet client authority")])
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "client")}
    paths = {name: directory / f"{name}.pem" for name in ("authority", "client", "key")}
    for name, key in keys.items():
        subject = authority if name == "authority" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        identifier = x509.SubjectKeyIdentifier.from_public_key(keys["authority"].public_key())
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
        )
        if name == "client":
            built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            built = built.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
        else:
            built = built.add_extension(identifier, critical=False)
        signed = built.sign(keys["authority"], hashes.SHA256())
        paths[name].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    paths["key"].write_bytes(keys["client"].private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return paths["authority"], paths["client"], paths["key"]


@contextlib.asynccontextmanager
async def running_agent(connection: Connection, config: node.NodeConfig) -> AsyncIterator[None]:
    """Run the agent in this process until the end of the block."""
    ready = asyncio.Event()
    task = asyncio.create_task(node.run(connection, node_with(config, ready.set)))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        task.result()
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def node_with(config: node.NodeConfig, registered: Callable[[], None]) -> node.NodeConfig:
    import dataclasses

    return dataclasses.replace(config, registered=registered)


@contextlib.asynccontextmanager
async def bench(directory: Path, *pools: NodePool, **more: Any) -> AsyncIterator[Bench]:
    """An API server, an agent with some pools, a client."""
    config = node_config(directory, *pools, **more)
    async with running_server() as connection, Client(connection) as client, running_agent(connection, config):
        yield Bench(client, directory)
