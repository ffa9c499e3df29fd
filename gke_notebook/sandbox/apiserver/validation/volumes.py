"""Checks of a pod's volumes and of what a container mounts.

Source of rules and texts: Kubernetes 1.34 (`pkg/apis/core/validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gke_notebook.sandbox import quantity
from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.schema import schema
from gke_notebook.sandbox.apiserver.status import (
    FieldError,
    duplicate,
    field_forbidden,
    field_not_found,
    invalid_value,
    not_supported,
    required,
)

from .metadata import all_wrong

Object = dict[str, Any]

_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def check_volumes(volumes: list[Object], field: str) -> tuple[frozenset[str], list[FieldError]]:
    """Check the volumes of a pod.

    Args:
        volumes: the volumes.
        field: the path of the list.

    Returns:
        The names of the good ones, and the errors.
    """
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        where = f"{field}[{index}]"
        found = _check_source(volume, where)
        name = volume.get("name", "")
        if not name:
            found.append(required(f"{where}.name"))
        else:
            found += all_wrong(f"{where}.name", name, formats.dns_label(name))
        if name in names:
            found.append(duplicate(f"{where}.name", name))
        if found:
            errors += found
        else:
            names.add(name)
    return frozenset(names), errors


def _check_source(volume: Object, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    first = True
    for name in schema().types["core.Volume"].fields:
        source = volume.get(name)
        if name == "name" or source is None:
            continue
        if not first:
            errors.append(field_forbidden(f"{field}.{name}", "may not specify more than 1 volume type"))
            continue
        first = False
        check = _SOURCES.get(name)
        if check is not None:
            errors += check(source, f"{field}.{name}")
    if first:
        errors.append(required(field, "must specify a volume type"))
    return errors


def _empty_dir(source: Object, field: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit) < 0:
        return [field_forbidden(f"{field}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(source: Object, field: str) -> list[FieldError]:
    path = source.get("path", "")
    errors = [] if path else [required(f"{field}.path")]
    if path:
        errors += _no_steps_back(path, f"{field}.path")
    if source.get("type", "") not in _HOST_PATH_TYPES:
        errors.append(not_supported(f"{field}.type", source["type"], _HOST_PATH_TYPES))
    return errors


def _secret(source: Object, field: str) -> list[FieldError]:
    errors = [] if source.get("secretName") else [required(f"{field}.secretName")]
    return errors + _mode(source, "defaultMode", field) + _items(source, field)


def _config_map(source: Object, field: str) -> list[FieldError]:
    errors = [] if source.get("name") else [required(f"{field}.name")]
    return errors + _mode(source, "defaultMode", field) + _items(source, field)


def _claim(source: Object, field: str) -> list[FieldError]:
    return [] if source.get("claimName") else [required(f"{field}.claimName")]


def _nfs(source: Object, field: str) -> list[FieldError]:
    errors = [required(f"{field}.{name}") for name in ("server", "path") if not source.get(name)]
    if source.get("path") and not source["path"].startswith("/"):
        errors.append(invalid_value(f"{field}.path", source["path"], "must be an absolute path"))
    return errors


def _csi(source: Object, field: str) -> list[FieldError]:
    return [] if source.get("driver") else [required(f"{field}.driver")]


def _downward(source: Object, field: str) -> list[FieldError]:
    errors = _mode(source, "defaultMode", field)
    for index, item in enumerate(source.get("items", ())):
        errors += _downward_file(item, f"{field}[{index}]")
    return errors


def _downward_file(item: Object, field: str) -> list[FieldError]:
    path = item.get("path", "")
    errors = [] if path else [required(f"{field}.path")]
    errors += _local_path(path, f"{field}.path")
    sources = [item.get("fieldRef"), item.get("resourceFieldRef")]
    if all(sources):
        errors.append(
            invalid_value(field, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        )
    elif not any(sources):
        errors.append(required(field, "one of fieldRef and resourceFieldRef is required"))
    return errors + _mode(item, "mode", field)


def _projected(source: Object, field: str) -> list[FieldError]:
    errors = _mode(source, "defaultMode", field)
    checks: dict[str, Callable[[Object, str], list[FieldError]]] = {
        "secret": _config_map,
        "configMap": _config_map,
        "downwardAPI": _downward,
        "serviceAccountToken": lambda each, where: [] if each.get("path") else [required(f"{where}.path")],
    }
    for index, each in enumerate(source.get("sources") or ()):
        where = f"{field}.sources[{index}]"
        given = [name for name in each if each[name] is not None]
        for name in given[1:]:
            errors.append(field_forbidden(f"{where}.{name}", "may not specify more than 1 volume type per source"))
        if given and given[0] in checks:
            errors += checks[given[0]](each[given[0]], f"{where}.{given[0]}")
    return errors


_SOURCES: dict[str, Callable[[Object, str], list[FieldError]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _secret,
    "configMap": _config_map,
    "persistentVolumeClaim": _claim,
    "nfs": _nfs,
    "csi": _csi,
    "downwardAPI": _downward,
    "projected": _projected,
}


def _mode(source: Object, name: str, field: str) -> list[FieldError]:
    mode = source.get(name)
    return [] if mode is None or 0 <= mode <= 0o777 else [invalid_value(f"{field}.{name}", mode, _MODE_TEXT)]


def _items(source: Object, field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(source.get("items") or ()):
        where = f"{field}.items[{index}]"
        errors += [required(f"{where}.{name}") for name in ("key", "path") if not item.get(name)]
        errors += _local_path(item.get("path", ""), f"{where}.path")
        errors += _mode(item, "mode", where)
    return errors


def _no_steps_back(path: str, field: str) -> list[FieldError]:
    return [invalid_value(field, path, "must not contain '..'")] if ".." in path.split("/") else []


def _descending(path: str, field: str) -> list[FieldError]:
    errors = [invalid_value(field, path, "must be a relative path")] if path.startswith("/") else []
    return errors + _no_steps_back(path, field)


def _local_path(path: str, field: str) -> list[FieldError]:
    errors = _descending(path, field)
    if path.startswith("..") and path != ".." and not path.startswith("../"):
        errors.append(invalid_value(field, path, "must not start with '..'"))
    return errors


def check_mounts(container: Object, volumes: Iterable[str], field: str) -> list[FieldError]:
    """Check what a container mounts.

    Args:
        container: the container.
        volumes: the names of the pod's volumes.
        field: the path of `volumeMounts`.
    """
    errors: list[FieldError] = []
    known, paths = set(volumes), set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{field}[{index}]"
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            errors.append(required(f"{where}.name"))
        if name not in known:
            errors.append(field_not_found(f"{where}.name", name))
        if not path:
            errors.append(required(f"{where}.mountPath"))
        if path in paths:
            errors.append(invalid_value(f"{where}.mountPath", path, "must be unique"))
        paths.add(path)
        # The server leaves the index out of the next paths.
        if mount.get("subPath"):
            errors += _descending(mount["subPath"], f"{field}.subPath")
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                text = "subPathExpr and subPath are mutually exclusive"
                errors.append(invalid_value(f"{where}.subPathExpr", mount["subPathExpr"], text))
            errors += _descending(mount["subPathExpr"], f"{field}.subPathExpr")
        errors += _propagation(mount, container, f"{field}.mountPropagation")
    return errors


def _propagation(mount: Object, container: Object, field: str) -> list[FieldError]:
    value = mount.get("mountPropagation")
    if value is None:
        return []
    errors = [] if value in _PROPAGATIONS else [not_supported(field, value, _PROPAGATIONS)]
    if value == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        errors.append(
            field_forbidden(field, "Bidirectional mount propagation is available only to privileged containers")
        )
    return errors
