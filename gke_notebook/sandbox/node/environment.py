"""What a container's environment, command and arguments come to (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gke_notebook.sandbox.quantity import parse

Object = dict[str, Any]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_RESOURCE = re.compile(r"(requests|limits)\.(.+)")


class ConfigError(Exception):
    """A container cannot be made out of its manifest; the text is what a kubelet says (CreateContainerConfigError)."""


@dataclass(frozen=True)
class Sources:
    """What a pod's environment and volumes are read from.

    Args:
        pod: the pod's manifest.
        node_allocatable: what the node has, for a resource without a limit.
        objects: ConfigMaps and Secrets by kind and name; a missing one is absent or None.
    """

    pod: Object
    node_allocatable: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[tuple[str, str], Object | None] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.pod["metadata"].get("namespace", "default"))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by the variable's value; ``$$`` stands for a dollar, an unknown name stays.

    Args:
        text: the text of a value, a command or an argument.
        variables: what is defined.

    Example:
        >>> expand("$(A)/x $$(A) $(B)", {"A": "1"})
        '1/x $(A) $(B)'
    """

    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(one, text)


def references(pod: Object) -> set[tuple[str, str]]:
    """List the ConfigMaps and Secrets that the environments of a pod's containers name, as pairs of kind and name.

    Args:
        pod: the pod's manifest.
    """
    found: set[tuple[str, str]] = set()
    spec = pod["spec"]
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for entry in container.get("envFrom") or []:
            for field_name, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if entry.get(field_name):
                    found.add((kind, entry[field_name].get("name", "")))
        for variable in container.get("env") or []:
            source = variable.get("valueFrom") or {}
            for field_name, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if source.get(field_name):
                    found.add((kind, source[field_name].get("name", "")))
    return found


def field_value(sources: Sources, path: str, *, volume: bool = False) -> str:
    """Give a field of a pod as the downward API does.

    Args:
        sources: the pod and what belongs to it.
        path: for example ``metadata.labels['app']`` or ``status.podIP``.
        volume: whether it is for a volume, where all labels or annotations may be asked for at once.

    Raises:
        ConfigError: there is no such field.
    """
    pod = sources.pod
    metadata, spec = pod["metadata"], pod["spec"]
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))
    if volume and path in ("metadata.labels", "metadata.annotations"):
        entries = metadata.get(path.split(".")[1]) or {}
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(entries.items()))
    values = {
        "metadata.name": metadata.get("name"),
        "metadata.namespace": sources.namespace,
        "metadata.uid": metadata.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": "127.0.0.1",
        "status.podIPs": "127.0.0.1",
        "status.hostIP": "127.0.0.1",
        "status.hostIPs": "127.0.0.1",
    }
    if path not in values:
        raise ConfigError(f"field label not supported: {path}")
    return str(values[path] or "")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def resource_value(sources: Sources, reference: Mapping[str, Any], container: str) -> str:
    """Give a container's request or limit as the downward API does.

    Args:
        sources: the pod and what belongs to it.
        reference: a ``resourceFieldRef``.
        container: the container meant when the reference names none.

    Raises:
        ConfigError: there is no such container or resource.
    """
    name = reference.get("containerName") or container
    found = next(
        (c for field_name in ("containers", "initContainers") for c in sources.pod["spec"].get(field_name) or []
         if c["name"] == name),
        None,
    )  # fmt: skip
    if found is None:
        raise ConfigError(f"container {name} not found")
    matched = _RESOURCE.fullmatch(str(reference.get("resource", "")))
    if matched is None:
        raise ConfigError(f"unsupported container resource : {reference.get('resource')}")
    resources = found.get("resources") or {}
    amount = (resources.get(matched[1]) or {}).get(matched[2])
    if amount is None and matched[1] == "limits":
        amount = sources.node_allocatable.get(matched[2])
    quantity = parse(amount if amount is not None else 0)
    return str(math.ceil(quantity / (parse(reference.get("divisor") or 1) or 1)))


def environment(container: Object, sources: Sources, base: Mapping[str, str]) -> dict[str, str]:
    """Resolve the variables that a container declares.

    Args:
        container: the container.
        sources: the pod and what belongs to it.
        base: variables that are there before, for ``$(NAME)``; they are not in the result.

    Raises:
        ConfigError: a ConfigMap, a Secret or a key is missing, with the kubelet's text.
    """
    declared: dict[str, str] = {}
    for entry in container.get("envFrom") or []:
        for field_name, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            reference = entry.get(field_name)
            if not reference:
                continue
            found = sources.objects.get((kind, reference.get("name", "")))
            if found is None:
                if reference.get("optional"):
                    continue
                raise ConfigError(f'{kind.lower()} "{reference.get("name", "")}" not found')
            for key, value in text_data(found).items():
                declared[entry.get("prefix", "") + key] = value
    for variable in container.get("env") or []:
        resolved = _variable(variable, container, sources, {**base, **declared})
        if resolved is not None:
            declared[variable["name"]] = resolved
    return declared


def _variable(variable: Object, container: Object, sources: Sources, defined: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(str(variable.get("value") or ""), defined)
    if "fieldRef" in source:
        return field_value(sources, source["fieldRef"].get("fieldPath", ""))
    if "resourceFieldRef" in source:
        return resource_value(sources, source["resourceFieldRef"], container["name"])
    for field_name, kind, shown in (
        ("configMapKeyRef", "ConfigMap", "ConfigMap"),
        ("secretKeyRef", "Secret", "Secret"),
    ):
        if field_name in source:
            reference = source[field_name]
            name, key = reference.get("name", ""), reference.get("key", "")
            found = sources.objects.get((kind, name))
            data = text_data(found) if found is not None else {}
            if key in data:
                return data[key]
            if reference.get("optional"):
                return None
            if found is None:
                raise ConfigError(f'{kind.lower()} "{name}" not found')
            raise ConfigError(f"couldn't find key {key} in {shown} {sources.namespace}/{name}")
    raise ConfigError(f"unsupported value source of environment variable {variable.get('name')}")


def text_data(source: Object) -> dict[str, str]:
    """Give the entries of a ConfigMap or a Secret as text.

    Args:
        source: the object.
    """
    if source.get("kind") == "Secret" or "stringData" in source or source.get("type"):
        return {key: value.decode("utf-8", "surrogateescape") for key, value in binary_data(source).items()}
    return dict(source.get("data") or {})


def binary_data(source: Object) -> dict[str, bytes]:
    """Give the entries of a ConfigMap or a Secret as bytes.

    Args:
        source: the object; a list of ConfigMaps may leave `kind` out, so a Secret is told by its `type` too.
    """
    import base64

    data = source.get("data") or {}
    if source.get("kind") == "Secret" or source.get("type"):
        return {key: base64.b64decode(value or "") for key, value in data.items()}
    plain = {key: (value or "").encode() for key, value in data.items()}
    return {**plain, **{key: base64.b64decode(value) for key, value in (source.get("binaryData") or {}).items()}}


def arguments(container: Object, variables: Mapping[str, str]) -> list[str]:
    """Give a container's command line with its ``$(NAME)`` expanded.

    Args:
        container: the container.
        variables: its environment.

    Raises:
        ConfigError: there is neither a command nor an argument; no image is read, so its entry point is not known.
    """
    line = [*(container.get("command") or []), *(container.get("args") or [])]
    if not line:
        raise ConfigError(
            "failed to generate container spec: no command specified; the sandbox runs no image, so name the program "
            "in the container's command"
        )
    return [expand(str(word), variables) for word in line]
