"""What the shim changes in `socket`, torch and jax; loaded when a program first imports one of them.

The private names of torch (2.13) and jax (0.10) that are touched are left alone when they are not there.
"""

# ruff: noqa: PTH100, PTH120, PTH123
# mypy: ignore-errors
# Functions are put in place of others by name here: their types say nothing.
from __future__ import annotations

import functools
import json
import os

_LOOPBACK = "127.0.0.1"
_NODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
load = None  # set by sitecustomize: loads a file of the node agent by its path
_WILDCARDS = ("", "0.0.0.0", "::", "::0", "localhost", "127.0.0.1", "::1")  # noqa: S104 - names to know, none to bind


@functools.lru_cache(maxsize=1)
def _world():
    """Give the pod's scope, its table of local ports, and the module of names."""
    names, ports = load("names", _NODE), load("ports", _NODE)
    with open(os.environ["GKE_NOTEBOOK_SANDBOX_NAMES"], encoding="utf-8") as file:
        known = json.load(file)
    targets = {tuple(key.split("/")): target for key, target in known.get("services", {}).items()}

    def service(namespace, name):
        target = targets.get((namespace, name))
        if target is None:
            return None
        return names.Target(
            names.Host(namespace, target["host"]), {int(port): to for port, to in target["ports"].items()}
        )

    scope = names.Scope(known["namespace"], known["hostname"], known["subdomain"], service, lambda *_: True)
    return scope, ports.PortTable(known["ports"]), names


def translate(host, port):
    """Give the address that stands for a host and a port of the cluster; both unchanged when it is none.

    Args:
        host: a name, text or bytes; anything else is left alone.
        port: a number, a text of digits, or None.
    """
    try:
        name = host.decode("ascii") if isinstance(host, (bytes, bytearray)) else host
        if not isinstance(name, str) or not name or name in _WILDCARDS:
            return host, port
        scope, table, names = _world()
        target = names.find(name.lower(), scope, whole=True)
        if target is None:
            return host, port
        number = int(port) if isinstance(port, (int, str, bytes)) and str(port).strip("b'").isdigit() else None
        if number is None or not 0 < number < 65536 or table.is_local(number):
            return _LOOPBACK, port
        mapped = table.local(target.host.namespace, target.host.name, target.ports.get(number, number))
        return _LOOPBACK, mapped if isinstance(port, int) else type(port)(mapped) if isinstance(port, str) else port
    except Exception:  # a program must never fail because of the shim
        return host, port


def _own_port(port, *, make):
    """Give the local port that stands for a port of this pod, the port itself when there is none."""
    try:
        scope, table, _ = _world()
        if not isinstance(port, int) or not 1024 <= port < 65536 or table.is_local(port):
            return port
        if make:
            return table.local(scope.own.namespace, scope.own.name, port)
        return table.find(scope.own.namespace, scope.own.name, port) or port
    except Exception:  # a program must never fail because of the shim
        return port


def _for_bind(address):
    if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[0], str):
        return address
    host = translate(address[0], None)[0]
    if host in _WILDCARDS or host == _LOOPBACK:
        return (host, _own_port(address[1], make=True), *address[2:])
    return address


def _for_connect(address):
    if not isinstance(address, tuple) or len(address) < 2:
        return address
    host, port = translate(address[0], address[1])
    if host is address[0] and host in ("127.0.0.1", "localhost", "::1"):
        port = _own_port(port, make=False)  # a server of this pod, bound under its own number
    return (host, port, *address[2:])


def patch_socket(module):
    """Make names of the cluster resolve, and the ports of this pod its own.

    Args:
        module: the `socket` module.
    """
    real_getaddrinfo = module.getaddrinfo

    @functools.wraps(real_getaddrinfo)
    def getaddrinfo(host, port, *arguments, **more):
        there, number = translate(host, port)
        found = real_getaddrinfo(there, number, *arguments, **more)
        if there is host or not any(entry[3] for entry in found):
            return found
        # AI_CANONNAME: on a cluster /etc/hosts gives a pod its whole name, by which torchrun knows itself.
        canonical = _canonical(host)
        return [(*entry[:3], canonical if entry[3] else "", entry[4]) for entry in found]

    module.getaddrinfo = getaddrinfo
    for name in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getfqdn"):
        _wrap_host(module, name)
    real_gethostname = module.gethostname

    @functools.wraps(real_gethostname)
    def gethostname():
        try:
            return _world()[0].hostname
        except Exception:  # a program must never fail because of the shim
            return real_gethostname()

    module.gethostname = gethostname

    base = module.socket
    inet = (module.AF_INET, module.AF_INET6)

    def method(name, change):
        real = getattr(base, name)

        @functools.wraps(real)
        def changed(self, *arguments):
            if arguments and self.family in inet:
                arguments = (*arguments[:-1], change(arguments[-1]))
            return real(self, *arguments)

        setattr(base, name, changed)

    method("bind", _for_bind)
    method("connect", _for_connect)
    method("connect_ex", _for_connect)
    method("sendto", _for_connect)


def _wrap_host(module, name):
    real = getattr(module, name)

    @functools.wraps(real)
    def changed(host="", *arguments):
        if name == "getfqdn":
            return (
                real(host, *arguments) if host and translate(host, None)[0] is host else _own_name(host) or real(host)
            )
        return real(translate(host, None)[0], *arguments)

    setattr(module, name, changed)


def _canonical(host):
    try:
        scope, _, names = _world()
        name = host.decode("ascii") if isinstance(host, (bytes, bytearray)) else host
        target = names.find(name.lower(), scope, whole=True).host
        return f"{target.name}.{target.namespace}.svc.cluster.local" if "." in target.name else target.name
    except Exception:  # a program must never fail because of the shim
        return host


def _own_name(host):
    try:
        scope = _world()[0]
        if host:
            return host
        domain = f".{scope.subdomain}.{scope.namespace}.svc.cluster.local" if scope.subdomain else ""
        return scope.hostname + domain
    except Exception:  # a program must never fail because of the shim
        return ""


def patch_torch_rendezvous(module):
    """Hand the store of `init_process_group` to C++ with an address it can use.

    Args:
        module: ``torch.distributed.rendezvous``.
    """
    for name in ("_create_c10d_store", "TCPStore"):  # the function came with torch 1.11; older ones call the class
        _wrap_store(module, name)


def patch_torch_elastic(module):
    """Hand the store of torchrun's rendezvous to C++ with an address it can use.

    Args:
        module: ``torch.distributed.elastic.rendezvous.c10d_rendezvous_backend``.
    """
    _wrap_store(module, "TCPStore")


def _wrap_store(module, name):
    real = getattr(module, name, None)
    if real is None:
        return

    @functools.wraps(real, updated=())
    def changed(host, port, *arguments, **more):
        return real(*translate(host, port), *arguments, **more)

    setattr(module, name, changed)


def patch_jax(module):
    """Hand the coordinator's address to C++ as one it can use.

    Args:
        module: ``jax._src.distributed``.
    """
    real = module.State.initialize

    @functools.wraps(real)
    def initialize(self, coordinator_address=None, *arguments, **more):
        address = coordinator_address or os.environ.get("JAX_COORDINATOR_ADDRESS")
        host, colon, port = (address or "").rpartition(":")
        if colon and port.isdigit():
            there, number = translate(host, int(port))
            if there is not host:
                coordinator_address = f"{there}:{number}"
        return real(self, coordinator_address, *arguments, **more)

    module.State.initialize = initialize
