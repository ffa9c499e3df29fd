"""One object of every kind that both servers serve; controllers take note of nodes, quotas and policies only."""

from __future__ import annotations

import copy
from typing import Any

from gke_notebook.cluster.resources import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)

Object = dict[str, Any]

# What a server echoes of an object or of its parser, and the form that only the real one speaks.
ECHO = [
    (r"Invalid value: \"\{.*\}\": ", "Invalid value: <object>: "),
    (r"Invalid value: \{.*?\}: field is immutable", "Invalid value: <object>: field is immutable"),
    (r"(it was previously negative\))[\s\S]*", r"\1"),
    (r"yaml: .* \(", "yaml: <where> ("),
    (", application/vnd.kubernetes.protobuf", ""),
    (r"-----BEGIN CERTIFICATE-----[\s\S]*-----END CERTIFICATE-----\n", "<certificate>"),
    (r"current: \d+", "current: <version>"),
]

ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
POLICIES = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)  # fmt: skip
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
NEW_EVENTS = Resource("events.k8s.io", "v1", "events", "Event")

# A scheduler, and a Job controller, that do not exist: what the server answers is all that ever happens to the object.
NO_SCHEDULER = "example.com-none"
NO_CONTROLLER = "example.com/none"

POD_SPEC: Object = {
    "automountServiceAccountToken": False,
    "schedulerName": NO_SCHEDULER,
    "containers": [
        {
            "name": "main",
            "image": "nginx:1.27",
            "command": ["sleep", "60"],
            "env": [{"name": "A", "value": "1"}],
            "ports": [{"containerPort": 80}],
            "resources": {"requests": {"cpu": "100m"}, "limits": {"nvidia.com/gpu": "1"}},
            "livenessProbe": {"httpGet": {"port": 80}},
        },
        {"name": "side", "image": "busybox", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    ],
    "volumes": [{"name": "v", "configMap": {"name": "settings"}}],
}

# Nothing is bound to it, so nothing is refused.
_RULE = {"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothings"]}

SAMPLES: dict[Resource, Object] = {
    POLICIES: {
        "spec": {
            "matchConstraints": {"resourceRules": [_RULE]},
            "validations": [{"expression": "object.metadata.name != 'a'", "message": "not a"}],
        }
    },
    POLICY_BINDINGS: {"spec": {"policyName": "none-of-this-name", "validationActions": ["Deny"]}},
    CONFIG_MAPS: {"data": {"a": "1", "b": "2"}},
    SECRETS: {"stringData": {"password": "x"}, "data": {"user": "YWRtaW4="}},
    SERVICE_ACCOUNTS: {"automountServiceAccountToken": False},
    SERVICES: {"spec": {"selector": {"app": "web"}, "clusterIP": "None", "ports": [{"port": 80}]}},
    ENDPOINTS: {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]},
    LIMIT_RANGES: {"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}}]}},
    ROLES: {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
    ROLE_BINDINGS: {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "ada"}],
    },
    CLUSTER_ROLES: {"rules": [{"verbs": ["get", "list"], "apiGroups": ["", "batch"], "resources": ["pods", "jobs"]}]},
    CLUSTER_ROLE_BINDINGS: {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}],
    },
    RESOURCE_QUOTAS: {"spec": {"hard": {"requests.cpu": "8", "count/jobs.batch": "5"}}},
    EVENTS: {
        "involvedObject": {"kind": "Pod", "name": "web"},
        "reason": "Started",
        "message": "Started it",
        "type": "Normal",
        "count": 1,
        "firstTimestamp": "2026-11-24T10:00:00Z",
        "lastTimestamp": "2026-11-24T10:00:00Z",
        "source": {"component": "kubelet", "host": "n1"},
    },
    PODS: {"spec": POD_SPEC},
    JOBS: {
        "spec": {
            "suspend": True,
            "managedBy": NO_CONTROLLER,
            "completions": 2,
            "parallelism": 2,
            "completionMode": "Indexed",
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "main", "image": "python:3.11", "command": ["true"]}],
                }
            },
        }
    },
    LEASES: {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-11-24T10:00:00.000001Z"}},
    NODES: {"spec": {"providerID": "x"}},
    PRIORITY_CLASSES: {"value": 1000, "description": "for tests"},
    NAMESPACES: {},
}


def sample(resource: Resource, name: str, namespace: str | None = None, **metadata: Any) -> Object:
    """Give an object of a kind.

    Args:
        resource: which kind.
        name: its name.
        namespace: needed where the kind's sample names its namespace in its body.
        metadata: further fields of the metadata.
    """
    body: Object = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, **metadata},
        **copy.deepcopy(SAMPLES[resource]),
    }
    if resource is EVENTS:
        body["involvedObject"]["namespace"] = namespace
    return body


def config_map(name: str, data: Object | None = None, **metadata: Any) -> Object:
    """Give a ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"a": "1"} if data is None else data,
    }


def pod(name: str, spec: Object | None = None, **metadata: Any) -> Object:
    """Give a pod that nothing schedules."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {
            "schedulerName": NO_SCHEDULER,
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": "x"}],
            **(spec or {}),
        },
    }


_CONTROLLERS = ("kube-controller-manager", "validatingadmissionpolicy-status")


def without_controllers(value: Any) -> Any:
    """Remove what controllers write to a Node, a ResourceQuota or an admission policy when they come to it.

    Args:
        value: a transcript, or a part of one.
    """
    if isinstance(value, list):
        return [without_controllers(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: without_controllers(item) for key, item in value.items()}
    if {"hard", "validations"} & set(found.get("spec") or ()):
        found.pop("status", None)
        metadata = found["metadata"]
        metadata.pop("resourceVersion", None)
        metadata["managedFields"] = [
            each for each in metadata.get("managedFields") or () if each["manager"] not in _CONTROLLERS
        ]
    if "providerID" in (found.get("spec") or ()):
        metadata = found["metadata"]
        metadata.pop("resourceVersion", None)
        found["spec"].pop("taints", None)
        (metadata.get("annotations") or {}).pop("node.alpha.kubernetes.io/ttl", None)
        if not metadata.get("annotations"):
            metadata.pop("annotations", None)
        entries = [each for each in metadata["managedFields"] if each["manager"] != "kube-controller-manager"]
        for entry in entries:  # whether there were annotations already when one was added is the controllers' doing
            entry["fieldsV1"].get("f:metadata", {}).get("f:annotations", {}).pop(".", None)
        metadata["managedFields"] = entries
    return found


def without_descriptions(value: Any) -> Any:
    """Remove the descriptions of a Table's columns, which the embedded server leaves empty.

    Args:
        value: a transcript, or a part of one.
    """
    if isinstance(value, list):
        return [without_descriptions(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: without_descriptions(item) for key, item in value.items()}
    for column in found.get("columnDefinitions") or ():
        column.pop("description", None)
    return found
