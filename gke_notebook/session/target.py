"""From a session to its cluster in Google's APIs: by the name of its connection, or by the sandbox's own status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gke_notebook.cloud import credentials
from gke_notebook.cloud import target as targets
from gke_notebook.errors import NotConnected
from gke_notebook.session import sandbox

if TYPE_CHECKING:
    from gke_notebook.cloud.target import Target
    from gke_notebook.cluster.connection import Connection


def find(connection: Connection) -> Target:
    """Say which GKE cluster a connection belongs to, and how Google's APIs are reached for it.

    Args:
        connection: the session's.

    Raises:
        NotConnected: the connection does not say; the text says how to connect so that it does.
        ClusterUnreachable: the sandbox's Google APIs do not answer.
    """
    named = targets.of_context(connection.context)
    if named is not None:
        return named
    here = sandbox.running()
    if here is not None and here.get("kubernetes") == connection.server:
        signed_in = credentials.find(here["token_file"])
        return targets.of_address(here["gke"], sandbox.PROJECT, signed_in, connection.server)
    raise NotConnected(
        f"the connection {connection.context!r} does not say which GKE cluster it is, so Google Cloud cannot be asked "
        "about it; connect with %gke_connect PROJECT/LOCATION/CLUSTER"
    )
