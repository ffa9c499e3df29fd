"""The service account of a new pod: it has to be there, and gives the pod its pull secrets and its token.

Source: kubernetes v1.34, plugin/pkg/admission/serviceaccount/admission.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
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
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
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
    if ((account["metadata"].get("annotations") or {}).get(_ENFORCE) or "") in _TRUE:
        text = next(_not_mountable(account, spec), "")
        if text:
            raise status.forbidden(kind, _asked_for(meta), text)


def _not_mountable(account: Object, spec: Object) -> Iterator[str]:
    """Say which secrets of a pod its service account does not list, where it says that only those may be used."""
    account_name = account["metadata"]["name"]
    allowed = {each.get("name", "") for each in account.get("secrets") or ()}
    ending = f" is not allowed because service account {account_name} does not reference that"
    for volume in _list(spec, "volumes"):
        name = (volume.get("secret") or {}).get("secretName", "")
        if volume.get("secret") is not None and name not in allowed:
            yield f'volume with secret.secretName="{name}"{ending} secret'
    for field, word in (("initContainers", "init container"), ("containers", "container")):
        for container in _list(spec, field):
            for variable in _list(container, "env"):
                found = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if found is not None and found.get("name", "") not in allowed:
                    where = f"{word} {container.get('name', '')} with envVar {variable.get('name', '')}"
                    yield f'{where} referencing secret.secretName="{found.get("name", "")}"{ending} secret'
            for source in _list(container, "envFrom"):
                found = source.get("secretRef")
                if found is not None and found.get("name", "") not in allowed:
                    where = f"{word} {container.get('name', '')} with envFrom"
                    yield f'{where} referencing secret.secretName="{found.get("name", "")}"{ending} secret'
    pulled = {each.get("name", "") for each in account.get("imagePullSecrets") or ()}
    for index, each in enumerate(_list(spec, "imagePullSecrets")):
        if each.get("name", "") not in pulled:
            yield f'imagePullSecrets[{index}].name="{each.get("name", "")}"{ending} imagePullSecret'


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
    return status.forbidden(kind, _asked_for(meta), why)


def _asked_for(meta: Object) -> str:
    # A name that is to be generated has not been yet when the real plugin is asked.
    return str(meta.get("generateName") or meta.get("name", ""))


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
