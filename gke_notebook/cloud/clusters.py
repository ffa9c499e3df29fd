"""From PROJECT/LOCATION/CLUSTER to a connection, through the GKE API over REST."""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import ssl
from typing import Any

from gke_notebook.cloud import credentials
from gke_notebook.cluster.connection import Connection, tls_context
from gke_notebook.errors import ClusterUnreachable, InvalidInput, NotConnected

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER"
_TIMEOUT = 30.0
_ANYWHERE = "-"


def resolve(project: str, location: str, cluster: str) -> Connection:
    """Look up a GKE cluster and make a connection to it.

    The GKE API is asked at the address in CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER when that is set, as gcloud does.

    Args:
        project: the project's id.
        location: a region or a zone; ``-`` looks everywhere in the project.
        cluster: the cluster's name.

    Raises:
        NotConnected: there are no credentials, or no right to read the cluster, or it cannot be used.
        InvalidInput: there is no such cluster; the text has the nearest one.
        ClusterUnreachable: the GKE API does not answer.
    """
    signed_in = credentials.find()
    api = _client(signed_in)
    if location in {"", _ANYWHERE}:
        found = _anywhere(api, project, cluster)
    else:
        found = _call(lambda: _get(api, project, location, cluster), project, "container.clusters.get")
        if found is None:
            raise InvalidInput(_not_found(api, project, location, cluster))
    return connection(found, project, credentials.token_source(signed_in))


def connection(cluster: Any, project: str, token: Any) -> Connection:
    """Make the connection to a cluster as the GKE API describes it.

    Args:
        cluster: a `google.cloud.container_v1.Cluster`.
        project: its project.
        token: the token source.

    Raises:
        NotConnected: it has no endpoint yet, or none that can be used.
    """
    name = f"{project}/{cluster.location}/{cluster.name}"
    status = getattr(cluster.status, "name", str(cluster.status))
    if status in {"PROVISIONING", "STOPPING", "ERROR"}:
        reason = {"PROVISIONING": "is still being created", "STOPPING": "is being deleted", "ERROR": "is in error"}[
            status
        ]
        raise NotConnected(f"the cluster {name} {reason} (status {status})")
    autopilot = bool(getattr(getattr(cluster, "autopilot", None), "enabled", False))
    dns = _dns_endpoint(cluster)
    if dns:
        # The DNS endpoint belongs to Google's front end, whose certificate is a public one: gcloud 528 writes no
        # certificate authority for it either.
        return Connection(f"https://{dns}", context=name, tls=tls_context(), token=token, autopilot=autopilot)
    if not cluster.endpoint:
        raise NotConnected(f"the cluster {name} has no endpoint that this machine could use (status {status})")
    try:
        authority = base64.b64decode(cluster.master_auth.cluster_ca_certificate, validate=True).decode()
        tls = tls_context(ca_data=authority or None)
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError, ValueError) as error:
        raise NotConnected(f"the certificate authority of the cluster {name} cannot be read: {error}") from error
    return Connection(f"https://{cluster.endpoint}", context=name, tls=tls, token=token, autopilot=autopilot)


def _dns_endpoint(cluster: Any) -> str:
    # Older versions of google-cloud-container do not know the field.
    config = getattr(getattr(cluster, "control_plane_endpoints_config", None), "dns_endpoint_config", None)
    if config is None or not config.endpoint or not config.allow_external_traffic:
        return ""
    return str(config.endpoint)


def _client(signed_in: Any) -> Any:
    from google.api_core.client_options import ClientOptions
    from google.cloud import container_v1

    override = os.environ.get(ENDPOINT, "").rstrip("/")
    options = ClientOptions(api_endpoint=override) if override else None
    return container_v1.ClusterManagerClient(transport="rest", credentials=signed_in, client_options=options)


def _get(api: Any, project: str, location: str, cluster: str) -> Any:
    from google.api_core.exceptions import NotFound

    try:
        return api.get_cluster(name=f"projects/{project}/locations/{location}/clusters/{cluster}", timeout=_TIMEOUT)
    except NotFound:
        return None


def _list(api: Any, project: str) -> list[Any]:
    return list(api.list_clusters(parent=f"projects/{project}/locations/{_ANYWHERE}", timeout=_TIMEOUT).clusters)


def _anywhere(api: Any, project: str, cluster: str) -> Any:
    known = _call(lambda: _list(api, project), project, "container.clusters.list")
    found = [one for one in known if one.name == cluster]
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(f"{project}/{one.location}/{one.name}" for one in found)
        raise InvalidInput(f"there are {len(found)} clusters {cluster!r} in project {project}; name one of: {places}")
    raise InvalidInput(
        f"there is no cluster {cluster!r} in project {project}; {suggestion(project, '', cluster, known)}"
    )


def _not_found(api: Any, project: str, location: str, cluster: str) -> str:
    known = _call(lambda: _list(api, project), project, "container.clusters.list")
    return f"there is no cluster {project}/{location}/{cluster}; {suggestion(project, location, cluster, known)}"


def suggestion(project: str, location: str, cluster: str, known: list[Any]) -> str:
    """Say which cluster was probably meant.

    Args:
        project: where it was looked for.
        location: where it was looked for.
        cluster: the name that was not found.
        known: the clusters there are, each with `name` and `location`.

    Returns:
        A clause such as ``did you mean 'p/us-central1/research'?``.
    """
    if not known:
        return f"project {project} has no clusters"
    names = {f"{project}/{one.location}/{one.name}": one for one in known}
    same = [name for name, one in names.items() if one.name == cluster]
    near = same or difflib.get_close_matches(f"{project}/{location}/{cluster}", names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "choose one of: " + ", ".join(sorted(names))


def _call(ask: Any, project: str, permission: str) -> Any:
    # Errors are told apart by HTTP code: which class is raised differs between REST and gRPC.
    import google.auth.exceptions
    import requests
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    address = os.environ.get(ENDPOINT) or "container.googleapis.com"
    try:
        return ask()
    except GoogleAPICallError as error:
        code, text = error.code, _line(error.message)
        if code == 401:
            raise NotConnected(f"the GKE API does not accept the Google credentials: {text}") from error
        if code == 403 and _disabled(error):
            raise NotConnected(
                f"the Kubernetes Engine API is not enabled in project {project}; "
                f"run `gcloud services enable container.googleapis.com --project {project}`"
            ) from error
        if code == 403:
            raise NotConnected(
                f"you may not look up clusters in project {project}: {text}; "
                f"ask for the permission {permission}, which is in roles/container.clusterViewer"
            ) from error
        raise NotConnected(f"the GKE API answered {code}: {text}") from error
    except google.auth.exceptions.RefreshError as error:
        raise NotConnected(
            f"the Google credentials are no longer good ({_line(error)}); run `gcloud auth application-default login`"
        ) from error
    except (requests.RequestException, google.auth.exceptions.TransportError, RetryError) as error:
        raise ClusterUnreachable(f"the GKE API at {address} does not answer ({_line(error)})") from error


def _disabled(error: Any) -> bool:
    return getattr(error, "reason", None) == "SERVICE_DISABLED" or "has not been used in project" in str(error)


def _line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
