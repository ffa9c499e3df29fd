"""The cluster's names as the agent knows them: where each service leads, which hosts there are, their local ports."""

from __future__ import annotations

from typing import Any

from gke_notebook.cluster.reflector import Reflector
from gke_notebook.sandbox.node.names import Host, Scope, Target
from gke_notebook.sandbox.node.ports import PortTable

Object = dict[str, Any]


def hostname(pod: Object) -> str:
    """Give a pod's hostname: what its spec says, else its name, cut at the 63 characters of a DNS label.

    Args:
        pod: the pod's manifest.
    """
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def host(pod: Object) -> Host:
    """Give a pod as its peers address it.

    Args:
        pod: the pod's manifest.
    """
    subdomain = pod["spec"].get("subdomain")
    name = hostname(pod)
    return Host(pod["metadata"].get("namespace", "default"), f"{name}.{subdomain}" if subdomain else name)


def owner(pod: Object) -> str:
    """Give the uid of what controls a pod, else the pod's own.

    Args:
        pod: the pod's manifest.
    """
    metadata = pod["metadata"]
    for reference in metadata.get("ownerReferences") or []:
        if reference.get("controller"):
            return str(reference["uid"])
    return str(metadata["uid"])


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Say whether a service's selector selects labels; an empty one selects nothing.

    Args:
        selector: the service's.
        labels: the pod's.
    """
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def target_ports(service: Object, pod: Object) -> dict[int, int]:
    """Give the pod's port for each port of a service that has an address of its own; a headless one maps nothing.

    Args:
        service: the service's manifest.
        pod: a pod it selects, for named ports.
    """
    if service["spec"].get("clusterIP") == "None":
        return {}
    named = {
        port["name"]: port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
        if port.get("name")
    }
    result = {}
    for port in service["spec"].get("ports") or []:
        target = port.get("targetPort") or port["port"]
        result[port["port"]] = int(named.get(target, port["port"])) if isinstance(target, str) else target
    return result


class Directory:
    """The cluster's names.

    Args:
        pods: the reflector of all pods.
        services: the reflector of all services.
        ports: the table of local ports.
    """

    def __init__(self, pods: Reflector[Object], services: Reflector[Object], ports: PortTable) -> None:
        self._pods = pods
        self._services = services
        self._ports = ports
        self._owned: dict[str, dict[str, Host]] = {}  # by owner: the hosts of its pods, by the pods' uids
        self._hosts: dict[str, set[Host]] = {}  # by owner: every host it has had

    def add(self, pod: Object) -> None:
        """Take note of a pod; the ports of its host stay until every pod of its owner is gone."""
        self._owned.setdefault(owner(pod), {})[pod["metadata"]["uid"]] = host(pod)
        self._hosts.setdefault(owner(pod), set()).add(host(pod))

    def remove(self, pod: Object) -> None:
        """Take note that a pod is gone, and give its job's ports back when it was the last."""
        owned = self._owned.get(owner(pod))
        if owned is None:
            return
        owned.pop(pod["metadata"]["uid"], None)
        if owned:
            return
        del self._owned[owner(pod)]
        for known in self._hosts.pop(owner(pod)):
            if not self._in_use(known):
                self._ports.release(known.namespace, known.name)

    def _in_use(self, known: Host) -> bool:
        return any(known in hosts for hosts in self._hosts.values())

    def scope(self, pod: Object) -> Scope:
        """Give what is known of the cluster's names to a pod.

        Args:
            pod: the pod's manifest.
        """
        return Scope(
            pod["metadata"].get("namespace", "default"),
            hostname(pod),
            str(pod["spec"].get("subdomain") or ""),
            self.service,
            self.is_host,
        )

    def service(self, namespace: str, name: str) -> Target | None:
        """Say where a service leads: to the first pod that it selects, by name; None when there is no such service."""
        service = self._services.objects.get((namespace, name))
        if service is None:
            return None
        selector = service["spec"].get("selector") or {}
        selected = sorted(
            (
                pod
                for (of, _), pod in self._pods.objects.items()
                if of == namespace and matches(selector, pod["metadata"].get("labels") or {})
            ),
            key=lambda pod: (
                (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"),
                pod["metadata"]["name"],
            ),
        )
        if not selected:
            return Target(Host(namespace, name))
        return Target(host(selected[0]), target_ports(service, selected[0]))

    def services_of(self, namespace: str) -> dict[str, Target]:
        """Say where the services of a namespace lead, by ``<namespace>/<name>``."""
        found = {name: self.service(of, name) for of, name in self._services.objects if of == namespace}
        return {f"{namespace}/{name}": target for name, target in found.items() if target is not None}

    def is_host(self, namespace: str, subdomain: str, name: str) -> bool:
        """Say whether a pod has this hostname under this subdomain."""
        return any(
            of == namespace and pod["spec"].get("subdomain") == subdomain and hostname(pod) == name
            for (of, _), pod in self._pods.objects.items()
        )
