"""What the API server fills in where a client left it out.

Source: the defaults of Kubernetes 1.34 (`pkg/apis/*/v1/defaults.go`) as its API reference states them.
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver.kinds import Kind

from .core import merge_string_data
from .quotas import set_limit_defaults
from .rbac import set_binding_defaults

Object = dict[str, Any]

_MODE = 420  # 0644
_TOKEN_SECONDS = 3600
_MAX_INT32 = 2**31 - 1
_CLIENT_IP_SECONDS = 10800


def set_defaults(kind: Kind, obj: Object) -> None:
    """Fill in defaults in place; doing it twice changes nothing more.

    Args:
        kind: the object's kind.
        obj: the object, normalized.
    """
    if kind.rules is not None:
        kind.rules.set_defaults(obj)
        return
    set_zero_times(kind, obj)
    name = kind.kind
    if name == "Pod":
        _pod(obj)
    elif name == "Job":
        _job(obj)
    elif name == "Service":
        _service(obj)
    elif name == "Secret":
        merge_string_data(obj)
        obj.setdefault("type", "Opaque")
    elif name == "Namespace":
        if obj["metadata"].get("name"):
            obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
        obj.setdefault("status", {}).setdefault("phase", "Active")
    elif name == "Node":
        status = obj.setdefault("status", {})
        if status.get("capacity") and "allocatable" not in status:
            status["allocatable"] = dict(status["capacity"])
    elif name == "Endpoints":
        for subset in obj.get("subsets", ()):
            for port in subset.get("ports", ()):
                port.setdefault("protocol", "TCP")
    elif name == "PriorityClass":
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
    elif name in {"Role", "ClusterRole"}:
        if not obj.get("rules"):
            obj["rules"] = None  # the one list that a server shows when it is empty
    elif name in {"RoleBinding", "ClusterRoleBinding"}:
        set_binding_defaults(obj)
    elif name == "LimitRange":
        set_limit_defaults(obj)
    elif name in {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}:
        # Imported late: it needs the checks of this room, and few clusters have a policy.
        from gke_notebook.sandbox.apiserver.cel.policy_checks import set_defaults as set_policy_defaults

        set_policy_defaults(kind, obj)


# Times that the API's types hold by value: one that was never set is written as null, not left out.
_EVENT_TIMES = ("eventTime", "firstTimestamp", "lastTimestamp")
_CONDITION_TIMES = {
    "Pod": ("lastProbeTime", "lastTransitionTime"),
    "Job": ("lastProbeTime", "lastTransitionTime"),
    "Node": ("lastHeartbeatTime", "lastTransitionTime"),
    "Namespace": ("lastTransitionTime",),
}
_STATE_TIMES = {"running": ("startedAt",), "terminated": ("startedAt", "finishedAt")}
_CONTAINER_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def set_zero_times(kind: Kind, obj: Object) -> None:
    """Write null for the times that were never set, in place, where the server does.

    Args:
        kind: the object's kind.
        obj: the object, normalized.
    """
    if kind.kind == "Event":
        for key in _EVENT_TIMES:
            obj.setdefault(key, None)
    names = _CONDITION_TIMES.get(kind.kind)
    status = obj.get("status")
    if names is None or not status:
        return
    for condition in status.get("conditions") or ():
        for key in names:
            condition.setdefault(key, None)
    for field in _CONTAINER_STATUSES if kind.kind == "Pod" else ():
        for container in status.get(field) or ():
            for state in (container.get("state") or {}, container.get("lastState") or {}):
                for name, found in state.items():
                    for key in _STATE_TIMES.get(name, ()) if isinstance(found, dict) else ():
                        found.setdefault(key, None)


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        resources = container.setdefault("resources", {})
        limits = resources.get("limits")
        if limits:
            requests = resources.setdefault("requests", {})
            for resource, quantity in limits.items():
                requests.setdefault(resource, quantity)
        if spec.get("hostNetwork"):
            for port in container.get("ports", ()):
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort", 0)
    spec.setdefault("enableServiceLinks", True)
    pod_spec(spec)


def pod_spec(spec: Object) -> None:
    """Fill in the defaults a pod's spec and a template's spec share.

    Args:
        spec: the spec, changed in place.
    """
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    # A client may know only one of the two names of the same thing.
    if "serviceAccountName" not in spec and "serviceAccount" in spec:
        spec["serviceAccountName"] = spec["serviceAccount"]
    elif "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in (
        *spec.get("containers", ()),
        *spec.get("initContainers", ()),
        *spec.get("ephemeralContainers", ()),
    ):
        _container(container)
    for volume in spec.get("volumes", ()):
        _volume(volume)


def _container(container: Object) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", pull_policy(container.get("image", "")))
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        _field_ref(variable.get("valueFrom") or {})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is not None:
            for field, value in (
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ):
                probe.setdefault(field, value)
            _handler(probe)
            if "grpc" in probe:
                probe["grpc"].setdefault("service", "")
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _handler(handler)


def pull_policy(image: str) -> str:
    """Give the pull policy of an image by its tag.

    Args:
        image: the image's name.

    Example:
        >>> pull_policy("busybox"), pull_policy("localhost:5000/a:1.2")
        ('Always', 'IfNotPresent')
    """
    if "@" in image:
        return "IfNotPresent"
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "Always" if tag in {"", "latest"} else "IfNotPresent"


def _handler(handler: Object) -> None:
    http = handler.get("httpGet")
    if http is not None:
        http.setdefault("path", "/")
        http.setdefault("scheme", "HTTP")


def _field_ref(source: Object) -> None:
    if source.get("fieldRef") is not None:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if source.get("resourceFieldRef") is not None:
        source["resourceFieldRef"].setdefault("divisor", "0")


def _volume(volume: Object) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = volume.get(name)
        if source is not None:
            source.setdefault("defaultMode", _MODE)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    for item in (volume.get("downwardAPI") or {}).get("items", ()):
        _field_ref(item)
    for source in (volume.get("projected") or {}).get("sources", ()):
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
        for item in (source.get("downwardAPI") or {}).get("items", ()):
            _field_ref(item)
    if volume.get("image") is not None:
        volume["image"].setdefault("pullPolicy", pull_policy(volume["image"].get("reference", "")))


def _job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _MAX_INT32 if "backoffLimitPerIndex" in spec else 6)
    template = spec.setdefault("template", {"metadata": {}, "spec": {}})
    labels = (template.get("metadata") or {}).get("labels")
    if labels and not obj["metadata"].get("labels"):
        # Shared, not copied, as in the real server: those that the selector needs are added to both.
        obj["metadata"]["labels"] = labels
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    pod_spec(template.setdefault("spec", {}))


def copy_template_labels(job: Object) -> None:
    """Give a job without labels those of its template, in place.

    Args:
        job: the job.
    """
    labels = (job["spec"]["template"].get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    affinity = spec.setdefault("sessionAffinity", "None")
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", _CLIENT_IP_SECONDS)
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port", 0)
    if kind in {"NodePort", "LoadBalancer"} or (spec.get("externalIPs") and kind != "ExternalName"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in {"ClusterIP", "NodePort", "LoadBalancer"}:
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
