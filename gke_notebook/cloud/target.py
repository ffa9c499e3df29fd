"""Which GKE cluster a session is connected to, as Google's APIs name it, and how those APIs are reached for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.cloud.rest import Rest, endpoint
from gke_notebook.errors import NotConnected

# Contexts are named by gcloud `gke_PROJECT_LOCATION_CLUSTER`; none of the three has an underscore.
_GCLOUD = re.compile(r"gke_(?P<project>[^_/\s]+)_(?P<location>[^_/\s]+)_(?P<cluster>[^_/\s]+)")
_NAMED = re.compile(r"(?P<project>[^/\s]+)/(?P<location>[^/\s]+)/(?P<cluster>[^/\s]+)")


@dataclass(frozen=True)
class Target:
    """One GKE cluster and the credentials to change it.

    Args:
        project: the project's id.
        location: the cluster's region or zone.
        cluster: its name.
        address: where all of its Google APIs are; empty for Google's own, or where gcloud's variables say.
        signed_in: a `google.auth.credentials.Credentials`; found as `credentials.find` does when not given.
    """

    project: str
    location: str
    cluster: str
    address: str = ""
    signed_in: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.project}/{self.location}/{self.cluster}"

    @property
    def parent(self) -> str:
        """The name of the cluster's location in the Container API."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def name(self) -> str:
        """The cluster's whole name in the Container API."""
        return f"{self.parent}/clusters/{self.cluster}"

    def rest(self, service: str) -> Rest:
        """Give the calls of one of Google's REST APIs for this cluster's project.

        Args:
            service: for example ``compute``, ``cloudquotas`` or ``container``.

        Raises:
            NotConnected: there are no credentials.
        """
        return Rest(service, self.signed_in, self.address or endpoint(service))


def of_context(context: str) -> Target | None:
    """Read the cluster off the name of a connection: ``PROJECT/LOCATION/CLUSTER`` or ``gke_PROJECT_LOCATION_CLUSTER``.

    Args:
        context: the connection's name.

    Returns:
        The target with Google's own endpoints, or those of gcloud's variables; None when the name says nothing.

    Example:
        >>> str(of_context("gke_my-project_us-central1_train"))
        'my-project/us-central1/train'
    """
    found = _NAMED.fullmatch(context) or _GCLOUD.fullmatch(context)
    return Target(found["project"], found["location"], found["cluster"]) if found else None


def of_address(address: str, project: str, signed_in: Any, server: str) -> Target:
    """Find the cluster behind an API server among those of a project at one address.

    Args:
        address: where the Google APIs are.
        project: the project's id.
        signed_in: a `google.auth.credentials.Credentials`.
        server: the URL of the API server that the session talks to.

    Raises:
        NotConnected: none of the clusters has this API server.
        ClusterUnreachable: the API does not answer.
    """
    api = Rest("container", signed_in, address)
    found = api.call("GET", f"/v1/projects/{project}/locations/-/clusters").get("clusters") or ()
    host = server.rpartition("//")[2].rstrip("/")
    for cluster in found:
        if cluster.get("endpoint") == host:
            return Target(project, cluster["location"], cluster["name"], address, signed_in)
    raise NotConnected(f"no cluster of project {project} has the API server {server}")
