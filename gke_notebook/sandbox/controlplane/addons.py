"""JobSet's and Kueue's own manifests, made fit for controllers that run outside the cluster; the changes are pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gke_notebook.sandbox.controlplane.layout import LOOPBACK, Ports

Object = dict[str, Any]
KUEUE_METRICS = "/etc/kueue/metrics/certs"  # where Kueue 0.15 looks for a certificate, whatever its configuration says
KUEUE_METRICS_HERE = "kueue-metrics-certs"  # where the one that `build` makes looks: below its working directory
# Frameworks of Kueue whose kinds are served here.
_FRAMEWORKS = ["batch/job", "jobset.x-k8s.io/jobset"]
# Kueue answers for these even though their integrations are off, and changes nothing.
_OFF = {"pods", "deployments", "statefulsets"}
# From Kueue's config/components/crd/kustomization.yaml, 0.15.0.
_CONVERTED = frozenset(
    f"{plural}.kueue.x-k8s.io"
    for plural in ("clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads")
)
# From JobSet's config/components/webhook/patches, 0.10.1: other pods do not concern it.
_PODS_OF_JOBSETS = {"matchExpressions": [{"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}]}


def namespace(name: str) -> str:
    """Give the namespace in which an add-on's controller believes to run."""
    return f"{name}-system"


def custom_resource(definition: Object, port: int, authority_pem: str) -> Object:
    """Give a CustomResourceDefinition whose conversion webhook, where it has one, is a port on loopback.

    Without it Kueue would lose what is called otherwise in the version that is stored.

    Args:
        definition: the manifest; it is left as it is.
        port: where the add-on's controller listens.
        authority_pem: the authority of its certificate.
    """
    spec = {key: value for key, value in definition["spec"].items() if key != "conversion"}
    if f"{spec['names']['plural']}.{spec['group']}" in _CONVERTED:
        client = _loopback("/convert", port, authority_pem)
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        spec["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    return {**definition, "spec": spec}


def webhook_configuration(configuration: Object, name: str, port: int, authority_pem: str) -> Object:
    """Give a webhook configuration that leads to a port on loopback instead of a Service.

    Args:
        configuration: the Mutating- or ValidatingWebhookConfiguration; it is left as it is.
        name: the add-on's, put before the configuration's name as its `kustomize` files do.
        port: where its controller listens.
        authority_pem: the authority of its certificate.
    """
    hooks = []
    for hook in configuration["webhooks"]:
        kinds = {plural for rule in hook["rules"] for plural in rule["resources"]}
        if name == "kueue" and kinds <= _OFF:
            continue
        if name == "jobset" and kinds == {"pods"}:
            hook = {**hook, "objectSelector": _PODS_OF_JOBSETS}  # noqa: PLW2901 - the same hook, narrower
        path = hook["clientConfig"]["service"]["path"]
        hooks.append({**hook, "clientConfig": _loopback(path, port, authority_pem)})
    metadata = {**configuration["metadata"], "name": f"{name}-{configuration['metadata']['name']}"}
    return {**configuration, "metadata": metadata, "webhooks": hooks}


def configuration(name: str, ports: Ports, certificates: Path) -> Object:
    """Give the configuration of an add-on's controller.

    Args:
        name: ``jobset`` or ``kueue``.
        ports: the ports it has.
        certificates: the directory with `tls.crt` and `tls.key` of its webhook server.
    """
    common: Object = {
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"{LOOPBACK}:{_port(ports, name, 'health')}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": LOOPBACK, "port": webhook_port(ports, name), "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "clientConnection": {"qps": 500, "burst": 1000},
    }
    if name == "jobset":
        return {"apiVersion": "config.jobset.x-k8s.io/v1alpha1", **common}
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        **common,
        "namespace": namespace(name),
        "integrations": {"frameworks": _FRAMEWORKS},
    }


def _loopback(path: str, port: int, authority_pem: str) -> Object:
    bundle = base64.b64encode(authority_pem.encode()).decode()
    return {"url": f"https://{LOOPBACK}:{port}{path}", "caBundle": bundle}


def webhook_port(ports: Ports, name: str) -> int:
    """Give the port of an add-on's webhook server."""
    return _port(ports, name, "webhook")


def health_url(ports: Ports, name: str) -> str:
    """Give the URL that answers 200 once an add-on's webhooks are served."""
    return f"http://{LOOPBACK}:{_port(ports, name, 'health')}/readyz"


def _port(ports: Ports, name: str, what: str) -> int:
    return int(getattr(ports, f"{name}_{what}"))


def read_manifests(file: Path) -> Sequence[Object]:
    """Read a List in JSON, as `build` writes it: to read Kueue's schemas as YAML would take seconds at each start."""
    items: list[Object] = msgspec.json.decode(file.read_bytes())["items"]
    return items


def wants_metrics_certificates(program: Path) -> bool:
    """Say whether a kueue binary insists on a certificate below /etc that is not there.

    Args:
        program: the binary; `build` makes one that looks into its working directory instead.
    """
    import mmap

    if (Path(KUEUE_METRICS) / "tls.crt").exists():
        return False
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(KUEUE_METRICS.encode()) >= 0
