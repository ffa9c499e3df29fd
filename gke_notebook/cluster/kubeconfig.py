"""From a kubeconfig file to a `Connection`: exec plugins, tokens, certificates; and the configuration inside a pod.

Reading is left to the `kubernetes` package, whose import costs a quarter of a second and so happens on first use.
Only what is the same in its versions 24 to 37 is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gke_notebook.cluster.connection import Connection, FreshToken, TokenSource, no_token, tls_context
from gke_notebook.errors import InvalidInput, NotConnected, nearest

_DEFAULT = "~/.kube/config"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def contexts(path: str | None = None) -> list[str]:
    """Name the contexts of a kubeconfig, in the order of the file.

    Args:
        path: the file, or several joined as in KUBECONFIG; None takes KUBECONFIG, else ``~/.kube/config``.

    Returns:
        The names; none when there is no such file.

    Raises:
        NotConnected: the file cannot be read.
    """
    try:
        return list(_by_name(_read(_paths(path)), "contexts", "context"))
    except FileNotFoundError:
        return []


def load(context: str | None = None, path: str | None = None) -> Connection:
    """Make a connection out of a context of a kubeconfig, or, inside a pod without one, out of its service account.

    Args:
        context: the context's name; None takes the file's current one.
        path: the file, or several joined as in KUBECONFIG; None takes KUBECONFIG, else ``~/.kube/config``.

    Raises:
        InvalidInput: there is no such context; the text has the nearest one.
        NotConnected: there is no file, or it cannot be used.
    """
    paths = _paths(path)
    try:
        config = _read(paths)
    except FileNotFoundError:
        if context is None and path is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            return in_cluster()
        raise NotConnected(
            f"there is no kubeconfig file at {paths}; set KUBECONFIG, or name a GKE cluster as "
            "PROJECT/LOCATION/CLUSTER, or use the sandbox"
        ) from None
    entries = _by_name(config, "contexts", "context")
    name = context if context is not None else str(config.get("current-context") or "")
    if not name:
        raise InvalidInput(f"{paths} has no current context; {nearest('', entries)}")
    if name not in entries:
        raise InvalidInput(f"{paths} has no context {name!r}; {nearest(name, entries) if entries else 'it has none'}")
    entry = entries[name]
    cluster = _by_name(config, "clusters", "cluster").get(str(entry.get("cluster")))
    if not cluster or not cluster.get("server"):
        raise NotConnected(
            f"context {name!r} of {paths} names a cluster that the file does not have: {entry.get('cluster')!r}"
        )
    user = _by_name(config, "users", "user").get(str(entry.get("user"))) or {}
    if "username" in user and "token" not in user:
        raise NotConnected(f"context {name!r} logs in by user name and password, which Kubernetes no longer accepts")
    return _connect(paths, name, entry, cluster, user)


def in_cluster() -> Connection:
    """Make a connection out of the service account of the pod this process runs in.

    Raises:
        NotConnected: this process is not in a pod, or the pod has no service account.
    """
    import kubernetes.client
    import kubernetes.config

    def read() -> Any:
        settings = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_incluster_config(settings)
        except kubernetes.config.ConfigException as error:
            raise NotConnected(f"this process is not in a pod with a service account: {error}") from error
        return settings

    settings = read()
    namespace = "default"
    with contextlib.suppress(OSError):
        namespace = _POD_NAMESPACE.read_text().strip() or namespace
    return Connection(
        server=settings.host,
        namespace=namespace,
        context="in-cluster",
        tls=_tls(settings, {}),
        token=FreshToken(lambda: _token(read()), _token(settings)),
    )


def _connect(paths: str, name: str, entry: dict[str, Any], cluster: dict[str, Any], user: dict[str, Any]) -> Connection:
    server = str(cluster["server"]).rstrip("/")

    def fetch() -> str | None:
        return _token(_settings(paths, name))

    settings = _settings(paths, name)
    token = _token(settings)
    source: TokenSource = no_token if token is None else FreshToken(fetch, token)
    if "exec" in user and token is None and not settings.cert_file:
        raise NotConnected(
            f"the credential plugin {user['exec'].get('command')!r} of context {name!r} gave no credentials"
        )
    return Connection(
        server=server,
        namespace=str(entry.get("namespace") or "default"),
        context=name,
        tls=_tls(settings, cluster) if server.startswith("https") else None,
        token=source,
        server_name=cluster.get("tls-server-name"),
        proxy=_proxy(server, cluster.get("proxy-url")),
    )


def _paths(path: str | None) -> str:
    return path or os.environ.get("KUBECONFIG") or _DEFAULT


def _read(paths: str) -> dict[str, Any]:
    """Merge the files of a KUBECONFIG list; the first to name something wins."""
    import yaml
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import KubeConfigMerger

    if not any(Path(part).expanduser().is_file() for part in paths.split(os.pathsep) if part):
        raise FileNotFoundError(paths)
    try:
        merged = _plain(KubeConfigMerger(paths).config)
    except (ConfigException, OSError, yaml.YAMLError) as error:
        raise NotConnected(f"the kubeconfig {paths} cannot be read: {_line(error)}") from error
    except (TypeError, AttributeError, KeyError) as error:  # the package takes the file's shape for granted
        raise NotConnected(f"{paths} is not a kubeconfig file") from error
    if not isinstance(merged, dict):
        raise NotConnected(f"{paths} is not a kubeconfig file")
    return merged


def _plain(node: Any) -> Any:
    # The merger wraps what it has read in nodes that remember their file.
    if hasattr(node, "value") and hasattr(node, "safe_get"):
        return _plain(node.value)
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node


def _by_name(config: dict[str, Any], section: str, inner: str) -> dict[str, dict[str, Any]]:
    entries = config.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(item, dict) and "name" in item for item in entries):
        raise NotConnected(f"the {section} of the kubeconfig are not a list of named entries")
    found = {str(item["name"]): item.get(inner) or {} for item in entries}
    if not all(isinstance(entry, dict) for entry in found.values()):
        raise NotConnected(f"an entry among the {section} of the kubeconfig has no fields")
    return found


def _settings(paths: str, context: str) -> Any:
    """Let the `kubernetes` package read one context; this runs its credential plugin, if it has one."""
    import kubernetes.client
    import kubernetes.config

    settings = kubernetes.client.Configuration()
    try:
        with _logged_errors() as errors:
            kubernetes.config.load_kube_config(
                config_file=paths, context=context, client_configuration=settings, persist_config=False
            )
    except (kubernetes.config.ConfigException, OSError, ValueError) as error:
        raise NotConnected(f"context {context!r} of {paths} cannot be used: {_line(error)}") from error
    if errors:
        raise NotConnected(f"context {context!r} could not log in: {errors[-1]}")
    return settings


@contextlib.contextmanager
def _logged_errors() -> Iterator[list[str]]:
    # A credential plugin that fails is only written to the root logger by the `kubernetes` package, never raised.
    errors: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.module == "kube_config":
                errors.append(_line(record.getMessage()))

    handler = Collect(logging.ERROR)
    root = logging.getLogger()
    others = [(other, _not_kube_config) for other in root.handlers]
    for other, keep in others:
        other.addFilter(keep)
    root.addHandler(handler)
    try:
        yield errors
    finally:
        root.removeHandler(handler)
        for other, keep in others:
            other.removeFilter(keep)


def _not_kube_config(record: logging.LogRecord) -> bool:
    return record.module != "kube_config"


def _token(settings: Any) -> str | None:
    # The key is called "authorization" in old versions of the package and "BearerToken" in new ones.
    for value in settings.api_key.values():
        kind, _, token = str(value).partition(" ")
        if kind.lower() == "bearer":
            return token.strip() or None
    return None


def _tls(settings: Any, cluster: dict[str, Any]) -> ssl.SSLContext:
    verify = not cluster.get("insecure-skip-tls-verify", False)
    try:
        context = tls_context(ca_file=settings.ssl_ca_cert or None, verify=verify)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
    except (ssl.SSLError, OSError) as error:
        raise NotConnected(f"the certificates of this connection cannot be used: {_line(error)}") from error
    return context


def _proxy(server: str, configured: str | None, environment: Callable[[], dict[str, str]] | None = None) -> str | None:
    """Choose the proxy as kubectl does: the cluster's `proxy-url`, else HTTPS_PROXY and HTTP_PROXY less NO_PROXY."""
    if configured:
        if not configured.startswith(("http://", "https://")):
            raise NotConnected(
                f"the proxy of this cluster, {urllib.parse.urlsplit(configured).scheme}://, is not supported"
            )
        return configured
    parts = urllib.parse.urlsplit(server)
    host = parts.hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"} or urllib.request.proxy_bypass(host):
        return None
    return (environment or urllib.request.getproxies)().get(parts.scheme)


def _line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
