"""The service account of a new pod: it has to be there, and gives the pod its pull secrets and its token.

Source: kubernetes v1.34, plugin/pkg/admission/serviceaccount/admission.go.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gke_notebook.sandbox.apiserver import metadata, status
from gke_notebook.sandbox.apiserver.kinds import Kind, find
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.store import Store

Object = dict[str, Any]
DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
_VOLUME = "kube-api-access-"
_PATIENCE, _STEP = 1.5, 0.01  # seconds; the real plugin asks ten times, 0.1 to 0.2 s apart


def _kind(plural: str) -> Kind:
    found = find("", "v1", plural)
    assert found is not None
    return found


_ACCOUNTS, _NAMESPACES = _kind("serviceaccounts"), _kind("namespaces")


def admit(store: Store, kind: Kind, pod: Object, *, required: bool) -> None:
    """Give a new pod what its service account has for it.

    Args:
        store: the state.
        kind: the kind of pods.
        pod: changed in place; fields of wrong types are left for validation to refuse.
        required: whether the account that pods get when they name none must be there too.

    Raises:
        StatusError: 403, the account is not there.
    """
    spec, meta = pod["spec"], pod["metadata"]
    name = _account_of(spec)
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    entry = store.get(_ACCOUNTS, meta.get("namespace", ""), str(name))
    if entry is None:
        if name == DEFAULT and not required:
            return
        raise _missing(kind, pod, str(name))
    account = entry.object()
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    if wanted is not False:
        _mount(spec)
    secrets = account.get("imagePullSecrets")
    if secrets and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [{"name": each.get("name", "")} for each in secrets]


async def await_default(store: Store, kind: Kind, namespace: str, pod: Object) -> None:
    """Wait a moment for the account that a controller makes in every new namespace, when a new pod needs it.

    Args:
        store: the state.
        kind: the kind that is written.
        namespace: where.
        pod: the decoded body.
    """
    if kind.kind != "Pod" or kind.rules is not None:
        return
    spec = pod.get("spec")
    if not isinstance(spec, dict) or _account_of(spec) != DEFAULT:
        return
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE
    while store.get(_ACCOUNTS, namespace, DEFAULT) is None and loop.time() < end:
        entry = store.get(_NAMESPACES, "", namespace)
        if entry is None or (entry.head.get("status") or {}).get("phase") == "Terminating":
            return  # refused for that
        await asyncio.sleep(_STEP)


def _account_of(spec: Object) -> Any:
    return spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT


def _missing(kind: Kind, pod: Object, name: str) -> StatusError:
    meta = pod["metadata"]
    found = f"serviceaccount {status.quote(name)} not found"
    why = f"error looking up service account {meta.get('namespace', '')}/{name}: {found}"
    # A name that is to be generated has not been yet when the real plugin is asked.
    return status.forbidden(kind, str(meta.get("generateName") or meta.get("name", "")), why)


def _mount(spec: Object) -> None:
    volumes = spec.get("volumes") or []
    if not isinstance(volumes, list):
        return
    names = [str(each.get("name", "")) for each in volumes if isinstance(each, dict)]
    present = next((name for name in names if name.startswith(_VOLUME)), "")
    name = present or metadata.generate_name(_VOLUME)
    needed = False
    for container in (*_list(spec, "initContainers"), *_list(spec, "containers")):
        mounts = container.get("volumeMounts") or []
        if not isinstance(mounts, list):
            continue
        if any(isinstance(each, dict) and each.get("mountPath") == MOUNT_PATH for each in mounts):
            continue
        container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
        needed = True
    if needed and not present:
        spec["volumes"] = [*volumes, {"name": name, "projected": _projected()}]


def _list(spec: Object, field: str) -> list[Object]:
    found = spec.get(field)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _projected() -> Object:
    reference = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": reference}]}},
        ],
        "defaultMode": 0o644,
    }
