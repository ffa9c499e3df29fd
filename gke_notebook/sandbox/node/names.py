"""Names of pods and services in text, put in place of which are loopback addresses and local ports (pure).

Standard library only: the shim inside the pods loads this file by its path.

On a cluster a pod with `hostname` and `subdomain` is ``<hostname>.<subdomain>[.<namespace>[.svc[.<domain>]]]`` and a
service is ``<service>[.<namespace>[.svc[.<domain>]]]`` (Kubernetes documentation, "DNS for Services and Pods", 2026).
Here every pod lives on 127.0.0.1, so that the port has to tell pods apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
DOMAIN = ("cluster", "local")


class Host(NamedTuple):
    """A pod as its peers address it: its namespace, and its hostname with the subdomain if it has one."""

    namespace: str
    name: str


class Target(NamedTuple):
    """What a service leads to: a pod, and the pod's port for each of the service's."""

    host: Host
    ports: Mapping[int, int] = {}


class Scope(NamedTuple):
    """What is known to one pod.

    `subdomain` is the pod's own, empty without one. `service` gives what a service of a namespace leads to, None when
    there is no such service; `is_host` says whether a pod of a namespace has this hostname under this subdomain.
    """

    namespace: str
    hostname: str
    subdomain: str = ""
    service: Callable[[str, str], Target | None] = lambda _namespace, _name: None
    is_host: Callable[[str, str, str], bool] = lambda _namespace, _subdomain, _hostname: False

    @property
    def own(self) -> Host:
        """The pod itself."""
        return Host(self.namespace, f"{self.hostname}.{self.subdomain}" if self.subdomain else self.hostname)


PortOf = Callable[[Host, int], int]
"""Gives the local port that stands for a port of a host."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
# A name with an optional port, no part of a longer word, name or path.
_TOKEN = re.compile(rf"(?<![\w.\-$%~])({_LABEL}(?:\.{_LABEL})*)\.?(?::(\d{{1,5}})(?!\d))?(?![\w\-]|\.\w)")
_INDEXED = re.compile(r".*-\d+")
_ADDRESS_KEY = re.compile(r"(?:^|_)(?:ADDR|ADDRESS|HOSTS?|HOSTNAMES?|ENDPOINTS?|IP|SERVERS?|URL)$")
_PORT_KEY = re.compile(r"(.*)_PORT")
_OWN_PORT_KEYS = ("MASTER_PORT", "COORDINATOR_PORT")
_ADDRESS_FLAG = re.compile(r"--master[-_]addr(?:=|\s+|$)(\S*)")
_PORT_FLAG = re.compile(r"(--master[-_]port)(=|\s+)(\d{1,5})(?!\d)")
_PORT_FLAG_ALONE = re.compile(r"--master[-_]port")
_OWN_ADDRESSES = ("", "localhost", LOOPBACK, "0.0.0.0", "::1", "::")  # noqa: S104 - names to know, none to bind


def find(name: str, scope: Scope, *, port: int | None = None, whole: bool = False) -> Target | None:
    """Say which pod a name means, None when it is not surely a name of the cluster.

    Args:
        name: a DNS name in lower case.
        scope: whose name it is.
        port: the port that stands after it, if any.
        whole: whether the name stands where an address is expected, so that a single word may be a service.

    Example:
        >>> find("digits-1.digits.default.svc", Scope("default", "digits-0", "digits")).host
        Host(namespace='default', name='digits-1.digits')
    """
    labels = name.rstrip(".").split(".")
    if labels[-2:] == list(DOMAIN) and len(labels) > 3 and labels[-3] == "svc":
        labels = labels[:-2]
    if labels[-1] == "svc":
        return _qualified(labels[:-1], scope)
    addressed = whole or port is not None
    if len(labels) == 1:
        if not addressed:
            return None
        return Target(scope.own) if name == scope.hostname else scope.service(scope.namespace, name)
    if len(labels) == 2:
        if _is_peer(scope, scope.namespace, labels[1], labels[0]):
            return Target(Host(scope.namespace, name.rstrip(".")))
        return scope.service(labels[1], labels[0]) if addressed else None
    if len(labels) == 3 and _is_peer(scope, labels[2], labels[1], labels[0]):
        return Target(Host(labels[2], f"{labels[0]}.{labels[1]}"))
    return None


def _qualified(labels: list[str], scope: Scope) -> Target | None:
    if len(labels) == 2:
        return scope.service(labels[1], labels[0])
    if len(labels) == 3:
        return Target(Host(labels[2], f"{labels[0]}.{labels[1]}"))
    return None


def _is_peer(scope: Scope, namespace: str, subdomain: str, hostname: str) -> bool:
    known = (namespace, subdomain) == (scope.namespace, scope.subdomain) or scope.service(
        namespace, subdomain
    ) is not None
    # Peers may not exist yet; those of an Indexed Job, a JobSet or a StatefulSet end in their index.
    return known and (_INDEXED.fullmatch(hostname) is not None or scope.is_host(namespace, subdomain, hostname))


def local_port(target: Target, port: int, port_of: PortOf) -> int:
    """Give the local port that stands for a port of a target.

    Args:
        target: a pod or a service.
        port: the port as the pods say it.
        port_of: the table of local ports.
    """
    return port_of(target.host, target.ports.get(port, port))


def rewrite(text: str, scope: Scope, port_of: PortOf, *, address: bool = False) -> str:
    """Put loopback addresses in place of the cluster's names in a text.

    Args:
        text: the value of a variable, or an argument.
        scope: whose text it is.
        port_of: the table of local ports.
        address: whether the text is known to hold addresses, so that a single word may be a service.

    Example:
        >>> rewrite("tcp://digits-0.digits:29500", Scope("default", "digits-1", "digits"), lambda host, port: 20001)
        'tcp://127.0.0.1:20001'
    """

    def one(match: re.Match[str]) -> str:
        start = match.start()
        if start and text[start - 1] == "/" and text[max(0, start - 2) : start] != "//":
            return match[0]  # part of a path
        port = int(match[2]) if match[2] else None
        if port is not None and not 0 < port < 65536:
            return match[0]
        target = find(match[1], scope, port=port, whole=address)
        if target is None:
            return match[0]
        return LOOPBACK if port is None else f"{LOOPBACK}:{local_port(target, port, port_of)}"

    return _TOKEN.sub(one, text)


def rewrite_environment(environment: Mapping[str, str], scope: Scope, port_of: PortOf) -> dict[str, str]:
    """Put loopback addresses and local ports in place in all variables.

    A port in a variable of its own (``MASTER_PORT``) goes with the host in the variable beside it (``MASTER_ADDR``);
    without one it is the pod's own.

    Args:
        environment: the variables as the pod declares them.
        scope: the pod.
        port_of: the table of local ports.
    """
    result = {}
    for key, value in environment.items():
        target = _port_target(key, value, environment, scope)
        if target is not None:
            result[key] = str(local_port(target, int(value), port_of))
        else:
            result[key] = rewrite(value, scope, port_of, address=_ADDRESS_KEY.search(key) is not None)
    return result


def _port_target(key: str, value: str, environment: Mapping[str, str], scope: Scope) -> Target | None:
    matched = _PORT_KEY.fullmatch(key)
    if matched is None or not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        return None
    beside = [environment.get(f"{matched[1]}_{ending}") for ending in ("ADDR", "ADDRESS", "HOST", "HOSTNAME", "IP")]
    address = next((text for text in beside if text is not None), None)
    if address:
        target = find(address, scope, whole=True)
        if target is not None:
            return target
    if key in _OWN_PORT_KEYS and (address is None or address in _OWN_ADDRESSES):
        return Target(scope.own)
    return None


def rewrite_arguments(arguments: list[str], environment: Mapping[str, str], scope: Scope, port_of: PortOf) -> list[str]:
    """Put loopback addresses and local ports in place in a command line.

    Args:
        arguments: the command and its arguments.
        environment: the variables as the pod declares them, for a ``--master-port`` without ``--master-addr``.
        scope: the pod.
        port_of: the table of local ports.
    """
    host = _master(arguments, environment, scope)

    def port_flag(match: re.Match[str]) -> str:
        return f"{match[1]}{match[2]}{_master_port(match[3], host, port_of)}"

    result: list[str] = []
    for position, word in enumerate(arguments):
        before = arguments[position - 1] if position else ""
        if host is not None and _PORT_FLAG_ALONE.fullmatch(before) and word.isascii() and word.isdigit():
            result.append(_master_port(word, host, port_of))
        else:
            address = before.startswith("--") and _ADDRESS_KEY.search(before[2:].replace("-", "_").upper()) is not None
            result.append(_PORT_FLAG.sub(port_flag, rewrite(word, scope, port_of, address=address)))
    return result


def _master(arguments: list[str], environment: Mapping[str, str], scope: Scope) -> Target | None:
    for position, word in enumerate(arguments):
        matched = _ADDRESS_FLAG.search(word)
        if matched:
            following = arguments[position + 1] if position + 1 < len(arguments) else ""
            return _named_or_own((matched[1] or following).strip("'\""), environment, scope)
    return _named_or_own(environment.get("MASTER_ADDR", ""), environment, scope)


def _named_or_own(address: str, environment: Mapping[str, str], scope: Scope) -> Target | None:
    variable = re.fullmatch(r"\$\{?(\w+)\}?", address)
    if variable:
        address = environment.get(variable[1], "")
    if address in _OWN_ADDRESSES:
        return Target(scope.own)
    return find(address, scope, whole=True)


def _master_port(text: str, host: Target | None, port_of: PortOf) -> str:
    if host is None or not 0 < int(text) < 65536:
        return text
    return str(local_port(host, int(text), port_of))
