"""The Kubernetes resources this package reads and writes, and the paths they live under."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """One resource of the Kubernetes API.

    Args:
        group: the API group, empty for the core group.
        version: the API version, for example ``v1``.
        plural: the word in the path, for example ``pods``.
        kind: the word in a manifest, for example ``Pod``.
        namespaced: whether objects live in a namespace.

    Example:
        >>> JOBS.path("research", "digits")
        '/apis/batch/v1/namespaces/research/jobs/digits'
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Give the path of the collection, of one object, or of one of its subresources.

        Args:
            namespace: the namespace; None means all of them, or a cluster-scoped resource.
            name: the object, if one is meant.
            subresource: for example ``status`` or ``log``.
        """
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
JOBS = Resource("batch", "v1", "jobs", "Job")
JOBSETS = Resource("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
IDENTITY_REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)

BY_KIND = {
    (resource.api_version, resource.kind): resource
    for resource in (
        PODS, SERVICES, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, EVENTS, NAMESPACES, NODES, JOBS, JOBSETS, LEASES,
        ACCESS_REVIEWS, IDENTITY_REVIEWS,
    )
}  # fmt: skip


def resource_of(manifest: dict[str, object]) -> Resource:
    """Find the resource a manifest belongs to, by its `apiVersion` and `kind`.

    Args:
        manifest: a Kubernetes object as a plain dict.

    Raises:
        KeyError: the kind is none this package handles.
    """
    return BY_KIND[str(manifest.get("apiVersion")), str(manifest.get("kind"))]
