"""The command lines of the components; pure.

The flags are those of the Kubernetes 1.34 and etcd 3.6 references ("kube-apiserver", "kube-controller-manager",
"kube-scheduler" at kubernetes.io/docs/reference/command-line-tools-reference; etcd.io/docs/v3.6/op-guide).
"""

from __future__ import annotations

from gke_notebook.sandbox.certificates import Certificates
from gke_notebook.sandbox.controlplane.credentials import Keys
from gke_notebook.sandbox.controlplane.layout import LOOPBACK, Layout, Ports

# What GKE adds for pods that ask for accelerators, whose nodes it taints
# (Google Cloud, "Run GPUs in GKE Standard node pools", 2026).
_ADMISSION = "ExtendedResourceToleration"
# No cloud gives the nodes addresses here; and an endpoint with the loopback address of our pods is refused, which these
# controllers would say again and again in events.
_NO_CONTROLLERS = (
    "node-ipam-controller",
    "cloud-node-lifecycle-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
)


def etcd(layout: Layout, ports: Ports, server: Certificates, keys: Keys, *, durable: bool) -> list[str]:
    """Give etcd's arguments; it answers only to the API server's client certificate.

    Args:
        layout: where its data is.
        ports: the ports it has.
        server: its certificate.
        keys: whom it trusts.
        durable: wait for the disk at each write; without it a crash of the machine, not of the process, can lose data.
    """
    client, peer = f"https://{LOOPBACK}:{ports.etcd}", f"https://{LOOPBACK}:{ports.etcd_peer}"
    return [
        "--name=sandbox", f"--data-dir={layout.data}", f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        "--client-cert-auth", f"--trusted-ca-file={keys.client_authority}",
        f"--cert-file={server.certificate}", f"--key-file={server.key}",
        "--peer-client-cert-auth", f"--peer-trusted-ca-file={keys.client_authority}",
        f"--peer-cert-file={server.certificate}", f"--peer-key-file={server.key}",
        "--enable-grpc-gateway=false",  # a client of itself, for which the server's certificate is not meant
        "--log-level=warn", *([] if durable else ["--unsafe-no-fsync"]),
    ]  # fmt: skip


def apiserver(layout: Layout, ports: Ports, server: Certificates, keys: Keys) -> list[str]:
    """Give kube-apiserver's arguments.

    Args:
        layout: where its files are.
        ports: the ports it has and needs.
        server: its certificate.
        keys: the keys of service accounts and towards kubelets.
    """
    return [
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}", f"--etcd-cafile={server.authority}",
        f"--etcd-certfile={keys.client_certificate}", f"--etcd-keyfile={keys.client_key}",
        f"--bind-address={LOOPBACK}", f"--advertise-address={LOOPBACK}", f"--secure-port={ports.apiserver}",
        "--endpoint-reconciler-type=none",  # it refuses a loopback address, and nothing here would use it
        f"--tls-cert-file={server.certificate}", f"--tls-private-key-file={server.key}",
        f"--token-auth-file={layout.tokens}", "--authorization-mode=Node,RBAC",
        f"--enable-admission-plugins={_ADMISSION}",
        f"--service-account-key-file={keys.accounts_public}",
        f"--service-account-signing-key-file={keys.accounts_key}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true",
        f"--kubelet-client-certificate={keys.client_certificate}", f"--kubelet-client-key={keys.client_key}",
        f"--kubelet-certificate-authority={server.authority}", "--kubelet-preferred-address-types=InternalIP",
        "--shutdown-delay-duration=0s", "--profiling=false",
    ]  # fmt: skip


def controller_manager(layout: Layout, server: Certificates, keys: Keys) -> list[str]:
    """Give kube-controller-manager's arguments.

    Args:
        layout: where its kubeconfig is.
        server: the certificate whose authority is published to pods.
        keys: the key of service accounts.
    """
    return [
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        f"--service-account-private-key-file={keys.accounts_key}", f"--root-ca-file={server.authority}",
        "--leader-elect=false", "--secure-port=0",
        "--controllers=" + ",".join(["*", *(f"-{name}" for name in _NO_CONTROLLERS)]),
        # Its own limit of 20 requests a second is meant for a server that many share.
        "--kube-api-qps=500", "--kube-api-burst=1000", "--profiling=false",
    ]  # fmt: skip


def scheduler(layout: Layout) -> list[str]:
    """Give kube-scheduler's arguments.

    Args:
        layout: where its kubeconfig is.
    """
    return [
        f"--kubeconfig={layout.kubeconfig('kube-scheduler')}", "--leader-elect=false", "--secure-port=0",
        "--kube-api-qps=500", "--kube-api-burst=1000", "--profiling=false",
    ]  # fmt: skip


def add_on(name: str, layout: Layout) -> list[str]:
    """Give the arguments of JobSet's or Kueue's controller.

    Args:
        name: ``jobset`` or ``kueue``.
        layout: where its configuration and kubeconfig are.
    """
    arguments = [f"--config={layout.configuration(name)}", f"--kubeconfig={layout.kubeconfig(name)}"]
    if name == "kueue":
        # It is an aggregated API, for which kube-apiserver would need a proxy's certificates.
        arguments.append("--feature-gates=VisibilityOnDemand=false")
    return arguments
