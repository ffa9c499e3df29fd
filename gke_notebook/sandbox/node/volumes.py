"""Volumes of a pod as directories of this machine: first decided as plain data, then written."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gke_notebook.sandbox.node import environment, tokens
from gke_notebook.sandbox.node.environment import ConfigError, Sources

Object = dict[str, Any]
TOKEN = "ServiceAccountToken"  # noqa: S105 - the kind under which a projected token stands among the sources


class MountError(Exception):
    """A volume cannot be set up; the text is that of the kubelet's FailedMount event."""


@dataclass(frozen=True)
class File:
    """A file of a volume: its bytes and its permission bits."""

    content: bytes
    mode: int


def references(held: Iterable[Object]) -> set[tuple[str, str]]:
    """List what volumes are made of, as pairs of kind and name.

    Args:
        held: entries of ``spec.volumes``.
    """
    found: set[tuple[str, str]] = set()
    for volume in held:
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            if source.get("configMap"):
                found.add(("ConfigMap", source["configMap"].get("name", "")))
            if source.get("secret"):
                found.add(("Secret", source["secret"].get("secretName") or source["secret"].get("name", "")))
            if source.get("serviceAccountToken"):
                found.add((TOKEN, tokens.key(source["serviceAccountToken"])))
    return found


def files(volume: Object, sources: Sources) -> dict[str, File]:
    """Say which files a volume holds.

    Args:
        volume: an entry of ``spec.volumes``.
        sources: the pod and the objects it names.

    Raises:
        MountError: an object or a key is missing, or the sandbox has no such kind of volume.

    Example:
        >>> files({"name": "scratch", "emptyDir": {}}, Sources({"metadata": {}, "spec": {}}))
        {}
    """
    try:
        return _files(volume, sources)
    except (MountError, ConfigError) as error:
        raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error


def _files(volume: Object, sources: Sources) -> dict[str, File]:
    kind = next((key for key in volume if key != "name"), "emptyDir")
    if kind == "emptyDir":
        return {}
    if kind in ("configMap", "secret", "downwardAPI"):
        return _source({kind: volume[kind] or {}}, sources, (volume[kind] or {}).get("defaultMode", 0o644))
    if kind == "projected":
        result: dict[str, File] = {}
        for source in volume["projected"].get("sources") or []:
            result.update(_source(source, sources, volume["projected"].get("defaultMode", 0o644)))
        return result
    if kind == "hostPath":
        raise MountError(
            f"hostPath {(volume['hostPath'] or {}).get('path', '')} is refused: the sandbox lends no directory of this "
            "machine; use an emptyDir, a configMap or a secret"
        )
    raise MountError(f"the sandbox has no {kind} volumes; use an emptyDir, a configMap, a secret or a projected volume")


def _source(source: Object, sources: Sources, mode: int) -> dict[str, File]:
    if "configMap" in source:
        return _keys(source["configMap"], "ConfigMap", source["configMap"].get("name", ""), sources, mode)
    if "secret" in source:
        name = source["secret"].get("secretName") or source["secret"].get("name", "")
        return _keys(source["secret"], "Secret", name, sources, mode)
    if "downwardAPI" in source:
        result = {}
        for item in source["downwardAPI"].get("items") or []:
            if item.get("fieldRef"):
                text = environment.field_value(sources, item["fieldRef"].get("fieldPath", ""), volume=True)
            else:
                text = environment.resource_value(sources, item.get("resourceFieldRef") or {}, "")
            result[_relative(item["path"])] = File(text.encode(), item.get("mode") or mode)
        return result
    if "serviceAccountToken" in source:
        wanted = source["serviceAccountToken"]
        found = sources.objects.get((TOKEN, tokens.key(wanted)))
        if found is None:
            raise MountError("failed to fetch token: the API server gives no service account tokens")
        return {_relative(wanted["path"]): File(found["status"]["token"].encode(), 0o600)}
    raise MountError(f"the sandbox has no projected {next(iter(source), 'empty')} source")


def _keys(reference: Object, kind: str, name: str, sources: Sources, mode: int) -> dict[str, File]:
    found = sources.objects.get((kind, name))
    optional = bool(reference.get("optional"))
    if found is None:
        if optional:
            return {}
        raise MountError(f'{kind.lower()} "{name}" not found')
    data = environment.binary_data({**found, "kind": kind})
    if not reference.get("items"):
        return {_relative(key): File(content, mode) for key, content in data.items()}
    result = {}
    for item in reference["items"]:
        if item["key"] in data:
            result[_relative(item["path"])] = File(data[item["key"]], item.get("mode") or mode)
        elif not optional:
            raise MountError(
                f"{kind.lower()} references non-existent config key: {item['key']}"
                if kind == "ConfigMap"
                else f"references non-existent secret key: {item['key']}"
            )
    return result


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise MountError(f"invalid path {path!r}: it must be relative and must not contain '..'")
    return "/".join(parts)


def write(directory: Path, content: Mapping[str, File]) -> None:
    """Write a volume's files as a kubelet does: links into a directory that the link ``..data`` leads to.

    Programs see the difference (Python puts the directory behind the link on its path), so it is kept.

    Args:
        directory: the volume's directory, made when missing.
        content: the files by their path in it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not content:
        return
    real = directory / datetime.datetime.now(datetime.timezone.utc).strftime("..%Y_%m_%d_%H_%M_%S.%f")
    for path, file in content.items():
        target = real / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode & 0o777)
    before = directory / "..data"
    old = before.resolve() if before.is_symlink() else None
    _link(before, real.name)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    for name in {path.split("/")[0] for path in content}:
        _link(directory / name, f"..data/{name}")


def _link(link: Path, target: str) -> None:
    fresh = link.with_name("..new")  # put in place at once: a program may be reading
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def mounts(container: Object, directories: Mapping[str, Path]) -> dict[str, str]:
    """Give where each mounted path of a container lies on this machine.

    Args:
        container: the container.
        directories: the directory of each volume by its name.

    Raises:
        MountError: a mount names a volume that is not there, or a subPath that leaves it.
    """
    result: dict[str, str] = {}
    for mount in container.get("volumeMounts") or []:
        directory = directories.get(mount["name"])
        if directory is None:
            raise MountError(f'no volume "{mount["name"]}"')
        if mount.get("subPath"):
            whole = directory.resolve()
            directory = directory / _relative(mount["subPath"])
            if not directory.resolve().is_relative_to(whole):
                raise MountError(f"failed to prepare subPath for volumeMount {mount['subPath']!r}: it leads outside")
            with contextlib.suppress(FileExistsError):
                directory.mkdir(parents=True)
        result[mount["mountPath"]] = str(directory)
    return result
