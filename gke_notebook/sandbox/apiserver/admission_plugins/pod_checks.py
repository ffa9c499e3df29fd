"""The Pod Security Standards: what a pod may ask for at the levels baseline and restricted; pure.

Source: Kubernetes documentation, "Pod Security Standards"; texts of k8s.io/pod-security-admission v0.34, policy/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gke_notebook.sandbox.apiserver.status import quote

Object = dict[str, Any]
LATEST = 10**6
"""Stands for the version ``latest`` among minor versions."""

_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
# Since which minor version a sysctl is safe.
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0, "net.ipv4.ip_unprivileged_port_start": 0, "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29, "net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32,
}  # fmt: skip
_SELINUX = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31}
_VOLUMES = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    }
)  # fmt: skip
_PROFILES = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP = '"RuntimeDefault" or "Localhost"'


@dataclass(frozen=True)
class Violation:
    """One thing that a level does not allow.

    Args:
        reason: in a few words.
        detail: where; possibly empty.
    """

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


class Pod:
    """A pod, or the template of one, as the checks see it.

    Args:
        meta: its metadata.
        spec: its spec.
    """

    def __init__(self, meta: Object, spec: Object) -> None:
        self.spec = spec
        self.annotations: dict[str, str] = meta.get("annotations") or {}
        self.security: Object = spec.get("securityContext") or {}
        self.windows = (spec.get("os") or {}).get("name") == "windows"
        names = ("initContainers", "containers", "ephemeralContainers")
        self.containers: list[Object] = [each for name in names for each in spec.get(name) or ()]

    def where(self, bad: Callable[[Object], bool]) -> list[str]:
        """Give the names of the containers whose security context is bad."""
        return [each["name"] for each in self.containers if bad(each.get("securityContext") or {})]


def violations(level: str, minor: int, meta: Object, spec: Object) -> list[Violation]:
    """Say what a level does not allow of a pod, in the server's order.

    Args:
        level: ``privileged``, ``baseline`` or ``restricted``.
        minor: the minor version of the level's rules, or `LATEST`.
        meta: the metadata of the pod or the template.
        spec: its spec.
    """
    if level == "privileged":
        return []
    checks = [*_BASELINE, *_RESTRICTED] if level == "restricted" else _BASELINE
    pod = Pod(meta, spec)
    active = [check for check in checks if minor >= check.since]
    overridden = {each.overrides for each in active}
    found = (each.run(pod, minor) for each in active if each.run not in overridden)
    return [each for each in found if each is not None]


def _joined(items: Iterable[str]) -> str:
    return '"' + '", "'.join(items) + '"'


def _plural(word: str, items: list[str]) -> str:
    return word if len(items) == 1 else word + "s"


def _containers(names: list[str]) -> str:
    return f"{_plural('container', names)} {_joined(names)}"


def _setters(pod: bool, names: list[str]) -> str:
    return " and ".join([*(["pod"] if pod else []), *([_containers(names)] if names else [])])


def _apparmor(pod: Pod, minor: int) -> Violation | None:
    del minor

    def kind(context: Object) -> str | None:
        profile = context.get("appArmorProfile")
        return None if profile is None or profile.get("type") in _PROFILES else str(profile.get("type", ""))

    names = pod.where(lambda context: kind(context) is not None)
    contexts = [pod.security, *(each.get("securityContext") or {} for each in pod.containers)]
    values = sorted({found for found in map(kind, contexts) if found is not None})
    said = [_setters(kind(pod.security) is not None, names)] if values else []
    wrong = sorted(
        f"{key}={quote(value)}"
        for key, value in pod.annotations.items()
        if key.startswith(_APPARMOR) and value not in {"", "runtime/default"} and not value.startswith("localhost/")
    )
    if wrong:
        said.append(_plural("annotation", wrong))
    if not said:
        return None
    detail = f"{' and '.join(said)} must not set AppArmor profile type to {_joined([*values, *wrong])}"
    return Violation(_plural("forbidden AppArmor profile", [*values, *wrong]), detail)


def _added(pod: Pod, allowed: frozenset[str]) -> tuple[list[str], list[str]]:
    def extra(context: Object) -> set[str]:
        return set((context.get("capabilities") or {}).get("add") or ()) - allowed

    names = pod.where(lambda context: bool(extra(context)))
    return names, sorted(set().union(*(extra(each.get("securityContext") or {}) for each in pod.containers)))


def _capabilities(pod: Pod, minor: int) -> Violation | None:
    del minor
    names, found = _added(pod, _CAPABILITIES)
    if not names:
        return None
    detail = f"{_containers(names)} must not include {_joined(found)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _host_namespaces(pod: Pod, minor: int) -> Violation | None:
    del minor
    found = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(key)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def _host_paths(pod: Pod, minor: int) -> Violation | None:
    del minor
    names = [each["name"] for each in pod.spec.get("volumes") or () if each.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{_plural('volume', names)} {_joined(names)}") if names else None


def _host_ports(pod: Pod, minor: int) -> Violation | None:
    del minor
    found = {each["name"]: [port["hostPort"] for port in each.get("ports") or () if port.get("hostPort")]
             for each in pod.containers}  # fmt: skip
    names = [name for name, ports in found.items() if ports]
    ports = sorted({str(port) for each in found.values() for port in each})
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    return Violation("hostPort", f"{_containers(names)} {uses} {_plural('hostPort', ports)} {', '.join(ports)}")


def _host_probes(pod: Pod, minor: int) -> Violation | None:
    del minor
    names, hosts = set(), set()
    for container in pod.containers:
        handlers = [container.get(key) for key in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [(container.get("lifecycle") or {}).get(key) for key in ("postStart", "preStop")]
        for handler in handlers:
            for key in ("httpGet", "tcpSocket"):
                host = ((handler or {}).get(key) or {}).get("host")
                if host:
                    names.add(container["name"])
                    hosts.add(host)
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    what = _plural("probe or lifecycle host", sorted(hosts))
    return Violation("probe or lifecycle host", f"{_containers(sorted(names))} {uses} {what} {_joined(sorted(hosts))}")


def _privileged(pod: Pod, minor: int) -> Violation | None:
    del minor
    names = pod.where(lambda context: bool(context.get("privileged")))
    return (
        Violation("privileged", f"{_containers(names)} must not set securityContext.privileged=true") if names else None
    )


def _proc_mount(pod: Pod, minor: int) -> Violation | None:
    del minor
    names = pod.where(lambda context: context.get("procMount") not in {None, "Default"})
    kinds = {str((each.get("securityContext") or {}).get("procMount") or "Default") for each in pod.containers} - {
        "Default"
    }
    if not names:
        return None
    return Violation(
        "procMount", f"{_containers(names)} must not set securityContext.procMount to {_joined(sorted(kinds))}"
    )


def _selinux(pod: Pod, minor: int) -> Violation | None:
    allowed = {name for name, since in _SELINUX.items() if minor >= since}

    def options(context: Object) -> Object:
        return context.get("seLinuxOptions") or {}

    def bad(context: Object) -> bool:
        found = options(context)
        return found.get("type", "") not in allowed or bool(found.get("user") or found.get("role"))

    names = pod.where(bad)
    if not names and not bad(pod.security):
        return None
    every = [options(pod.security), *(options(each.get("securityContext") or {}) for each in pod.containers)]
    types = sorted({each.get("type", "") for each in every} - allowed)
    said = [f"{_plural('type', types)} {_joined(types)}"] if types else []
    said += [f"{key} may not be set" for key in ("user", "role") if any(each.get(key) for each in every)]
    setters = _setters(bad(pod.security), names)
    return Violation("seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}")


def _seccomp_kind(context: Object) -> str | None:
    profile = context.get("seccompProfile")
    return None if profile is None else str(profile.get("type", ""))


def _seccomp(pod: Pod, minor: int) -> Violation | None:
    del minor

    def bad(context: Object) -> bool:
        return _seccomp_kind(context) not in {None, *_PROFILES}

    names = pod.where(bad)
    if not names and not bad(pod.security):
        return None
    contexts = [pod.security, *(each.get("securityContext") or {} for each in pod.containers)]
    values = sorted({str(_seccomp_kind(each)) for each in contexts if bad(each)})
    setters = _setters(bad(pod.security), names)
    return Violation(
        "seccompProfile", f"{setters} must not set securityContext.seccompProfile.type to {_joined(values)}"
    )


def _sysctls(pod: Pod, minor: int) -> Violation | None:
    names = [
        each["name"] for each in pod.security.get("sysctls") or () if minor < _SYSCTLS.get(each["name"], LATEST + 1)
    ]
    return Violation("forbidden sysctls", ", ".join(names)) if names else None


def _windows(pod: Pod, minor: int) -> Violation | None:
    del minor

    def bad(context: Object) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    names = pod.where(bad)
    if not names and not bad(pod.security):
        return None
    setters = _setters(bad(pod.security), names)
    return Violation("hostProcess", f"{setters} must not set securityContext.windowsOptions.hostProcess=true")


def _escalation(pod: Pod, minor: int) -> Violation | None:
    names = pod.where(lambda context: context.get("allowPrivilegeEscalation") is not False)
    if not names or (pod.windows and minor >= 25):
        return None
    text = f"{_containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", text)


def _all_dropped(pod: Pod, minor: int) -> Violation | None:
    if pod.windows and minor >= 25:
        return None
    kept = pod.where(lambda context: "ALL" not in ((context.get("capabilities") or {}).get("drop") or ()))
    said = [f'{_containers(kept)} must set securityContext.capabilities.drop=["ALL"]'] if kept else []
    names, found = _added(pod, frozenset({"NET_BIND_SERVICE"}))
    if names:
        said.append(f"{_containers(names)} must not include {_joined(found)} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(said)) if said else None


def _volumes(pod: Pod, minor: int) -> Violation | None:
    del minor
    found = {each["name"]: set(each) - {"name"} for each in pod.spec.get("volumes") or () if not set(each) & _VOLUMES}
    names = list(found)
    if not names:
        return None
    kinds = sorted(set().union(*(each or {"unknown"} for each in found.values())))
    uses = "uses" if len(names) == 1 else "use"
    what = _plural("restricted volume type", kinds)
    text = f"{_plural('volume', names)} {_joined(names)} {uses} {what} {_joined(kinds)}"
    return Violation("restricted volume types", text)


def _non_root(pod: Pod, minor: int) -> Violation | None:
    del minor
    names = pod.where(lambda context: context.get("runAsNonRoot") is False)
    if names or pod.security.get("runAsNonRoot") is False:
        setters = _setters(pod.security.get("runAsNonRoot") is False, names)
        return Violation("runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false")
    silent = pod.where(lambda context: context.get("runAsNonRoot") is None)
    if pod.security.get("runAsNonRoot") or not silent:
        return None
    return Violation("runAsNonRoot != true", f"pod or {_containers(silent)} must set securityContext.runAsNonRoot=true")


def _root(pod: Pod, minor: int) -> Violation | None:
    del minor
    names = pod.where(lambda context: context.get("runAsUser") == 0)
    if not names and pod.security.get("runAsUser") != 0:
        return None
    setters = _setters(pod.security.get("runAsUser") == 0, names)
    return Violation("runAsUser=0", f"{setters} must not set runAsUser=0")


def _seccomp_set(pod: Pod, minor: int) -> Violation | None:
    if pod.windows and minor >= 25:
        return None
    wrong = _seccomp(pod, minor)
    silent = pod.where(lambda context: _seccomp_kind(context) is None)
    if wrong is not None or _seccomp_kind(pod.security) is not None or not silent:
        return wrong
    text = f"pod or {_containers(silent)} must set securityContext.seccompProfile.type to {_SECCOMP}"
    return Violation("seccompProfile", text)


_Run = Callable[[Pod, int], Violation | None]


@dataclass(frozen=True)
class _Check:
    run: _Run
    since: int = 0
    overrides: _Run | None = None


# In the order of their names upstream, which is that of the server's texts.
_BASELINE = [
    _Check(_apparmor), _Check(_capabilities), _Check(_host_namespaces), _Check(_host_paths), _Check(_host_ports),
    _Check(_host_probes, 34), _Check(_privileged), _Check(_proc_mount), _Check(_selinux), _Check(_seccomp, 19),
    _Check(_sysctls), _Check(_windows),
]  # fmt: skip
_RESTRICTED = [
    _Check(_escalation, 8), _Check(_all_dropped, 22, _capabilities), _Check(_volumes, 0, _host_paths),
    _Check(_non_root), _Check(_root, 23), _Check(_seccomp_set, 19, _seccomp),
]  # fmt: skip
