"""The one current session of a process: what every magic uses."""

from __future__ import annotations

import atexit
import re
from typing import TYPE_CHECKING

from gke_notebook.errors import InvalidInput, NotConnected, nearest

if TYPE_CHECKING:
    from gke_notebook.cluster.connection import Connection
    from gke_notebook.session.session import Session

SANDBOX = "sandbox"
_CLUSTER = re.compile(r"(?P<project>[^/\s]+)/(?P<location>[^/\s]+)/(?P<cluster>[^/\s]+)")

_current: Session | None = None


def session() -> Session:
    """Give the current session.

    Raises:
        NotConnected: there is none yet.
    """
    if _current is None:
        raise NotConnected(
            "not connected to a cluster: run %gke_connect sandbox, %gke_connect CONTEXT or "
            "%gke_connect PROJECT/LOCATION/CLUSTER first"
        )
    return _current


def connect(target: str | None = None, *, namespace: str | None = None, path: str | None = None) -> Session:
    """Connect to a cluster and make that the current session; the one before it is closed.

    Args:
        target: ``sandbox``, a kubeconfig context, or ``PROJECT/LOCATION/CLUSTER``; the kubeconfig's current context
            by default.
        namespace: where jobs go; the context's own namespace by default.
        path: a kubeconfig file in place of the usual one.

    Raises:
        InvalidInput: there is no such context, cluster or namespace.
        NotConnected: there are no credentials, or the sandbox does not come up.
        ClusterUnreachable: the cluster does not answer.

    Example:
        >>> session = connect("sandbox")  # doctest: +SKIP
    """
    global _current  # noqa: PLW0603 - the one current session
    from gke_notebook.session.session import Session

    fresh = Session(_resolve(target, path), namespace=namespace)
    try:
        fresh.open()
    except BaseException:
        fresh.close()
        raise
    if _current is not None:
        _current.close()
    else:
        atexit.register(_close)
    _current = fresh
    return fresh


def _resolve(target: str | None, path: str | None) -> Connection:
    from gke_notebook.cluster import kubeconfig

    if target == SANDBOX and path is None:
        from gke_notebook.session import sandbox

        return kubeconfig.load(sandbox.CONTEXT, sandbox.ensure_up())
    if target is not None and (parts := _CLUSTER.fullmatch(target)):
        from gke_notebook.cloud import resolve

        return resolve(parts["project"], parts["location"], parts["cluster"])
    if target is not None and target.count("/") > 2:
        raise InvalidInput(f"{target!r}: write PROJECT/LOCATION/CLUSTER, for example my-project/us-central1/my-cluster")
    try:
        return kubeconfig.load(target, path)
    except (InvalidInput, NotConnected) as error:
        if target is not None and "did you mean" not in str(error) and "did you mean" in nearest(target, [SANDBOX]):
            raise InvalidInput(f"there is no context {target!r}; {nearest(target, [SANDBOX])}") from error
        raise


def _close() -> None:
    global _current  # noqa: PLW0603 - the one current session
    if _current is not None:
        _current.close()
        _current = None
