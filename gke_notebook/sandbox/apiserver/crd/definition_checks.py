"""Defaults and checks of CustomResourceDefinitions.

Source of rules and texts: k8s.io/apiextensions-apiserver v0.34 (`pkg/apis/apiextensions/v1/defaults.go` and
`validation`).
"""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.apiserver import formats
from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.status import FieldError, field_forbidden, invalid_value, not_supported, required

from . import columns
from .formats import known
from .schema_checks import check_schema

Object = dict[str, Any]

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_APPROVAL = "api-approved.kubernetes.io"
_BUILT_IN = {kind.kind for kind in KINDS}


def set_defaults(obj: Object) -> None:
    """Fill in, in place, what a client may leave out of a definition.

    Args:
        obj: the definition, normalized.
    """
    spec = obj.setdefault("spec", {})
    names = spec.get("names")
    if names and names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
    conversion = spec.setdefault("conversion", {})
    conversion.setdefault("strategy", "None")


def storage(obj: Object) -> Object:
    """Give the version that is stored, which is the one that is served; empty when there is none.

    Args:
        obj: the definition.
    """
    versions = (obj.get("spec") or {}).get("versions") or ()
    return next((version for version in versions if version.get("storage")), {})


def check(obj: Object, old: Object | None = None) -> list[FieldError]:
    """Check a definition beyond its metadata.

    Args:
        obj: the definition, with its defaults.
        old: the definition as stored, when it is changed.
    """
    spec, meta = obj["spec"], obj["metadata"]
    group, names, versions = spec.get("group", ""), spec.get("names") or {}, spec.get("versions") or []
    errors: list[FieldError] = []
    wanted = f"{names.get('plural', '')}.{group}"
    if meta.get("name") and meta["name"] != wanted:
        errors.append(invalid_value("metadata.name", meta["name"], 'must be spec.names.plural+"."+spec.group'))
    if not group:
        errors.append(required("spec.group"))
    elif wrong := formats.subdomain(group):
        errors.append(invalid_value("spec.group", group, ",".join(wrong)))
    elif "." not in group:
        errors.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    scope = spec.get("scope", "")
    if scope not in {"Cluster", "Namespaced"}:
        choices = ["Cluster", "Namespaced"]
        errors.append(not_supported("spec.scope", scope, choices) if scope else required("spec.scope"))
    for index, version in enumerate(versions):
        errors += _version(version, f"spec.versions[{index}]", alone=len(versions) == 1)
    labels = [version.get("name", "") for version in versions]
    if len(set(labels)) != len(labels):
        errors.append(invalid_value("spec.versions", versions, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        errors.append(invalid_value("spec.versions", versions, text))
    errors += _names(names)
    if len(versions) == 1:
        errors += _alone(versions[0])
    protected = f".{group}".endswith((".k8s.io", ".kubernetes.io"))
    if protected and not (meta.get("annotations") or {}).get(_APPROVAL):
        text = (
            f'protected groups must have approval annotation "{_APPROVAL}", see '
            "https://github.com/kubernetes/enhancements/pull/1111"
        )
        errors.append(required(f"metadata.annotations[{_APPROVAL}]", text))
    errors += _limits(spec, names)
    if old is not None:
        errors += _unchanged(spec, old)
    elif not storage(obj):
        errors.append(invalid_value("status.storedVersions", None, "must have at least one stored version"))
    return errors


def _version(version: Object, path: str, *, alone: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    name = version.get("name", "")
    if wrong := formats.dns1035_label(name):
        errors.append(invalid_value(f"{path}.name", name, ",".join(wrong)))
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        errors.append(required(f"{path}.schema.openAPIV3Schema"))
    elif not alone:
        errors += check_schema(schema, f"{path}.schema.openAPIV3Schema")
    if version.get("deprecationWarning") is not None and not version.get("deprecated"):
        text = "can only be set for deprecated versions"
        errors.append(invalid_value(f"{path}.deprecationWarning", version["deprecationWarning"], text))
    if not alone:
        errors += _columns(version, path)
    return errors


def _alone(version: Object) -> list[FieldError]:
    """Check what a real server moves out of the versions when there is only one."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    errors = [] if schema is None else check_schema(schema, "spec.validation.openAPIV3Schema")
    return errors + _columns(version, "spec")


def _columns(version: Object, path: str) -> list[FieldError]:
    columns_ = version.get("additionalPrinterColumns") or ()
    return [
        error
        for index, each in enumerate(columns_)
        for error in _column(each, f"{path}.additionalPrinterColumns[{index}]")
    ]


def _column(column: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not column.get("name"):
        errors.append(required(f"{path}.name"))
    kind, form = column.get("type", ""), column.get("format", "")
    if kind not in _COLUMN_TYPES:
        text = f"must be one of {','.join(_COLUMN_TYPES)}"
        errors.append(invalid_value(f"{path}.type", kind, text) if kind else required(f"{path}.type", text))
    if form and form not in _COLUMN_FORMATS:
        errors.append(invalid_value(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    json_path = column.get("jsonPath", "")
    if not json_path:
        errors.append(required(f"{path}.JSONPath"))
    elif columns.parse(json_path) is None:
        text = "must be a simple json path starting with ."
        errors.append(invalid_value(f"{path}.JSONPath", json_path, text))
    return errors


def _names(names: Object) -> list[FieldError]:
    errors = [required(f"spec.names.{key}") for key in ("plural", "singular", "kind", "listKind") if not names.get(key)]
    errors += [
        invalid_value(f"spec.names.{key}", names[key], ",".join(wrong))
        for key in ("plural", "singular")
        if names.get(key) and (wrong := formats.dns1035_label(names[key]))
    ]
    for key in ("kind", "listKind"):
        if names.get(key) and (wrong := formats.dns1035_label(names[key].lower())):
            text = "may have mixed case, but should otherwise match: " + ",".join(wrong)
            errors.append(invalid_value(f"spec.names.{key}", names[key], text))
    for key in ("shortNames", "categories"):
        for index, name in enumerate(names.get(key) or ()):
            if wrong := formats.dns1035_label(name):
                errors.append(invalid_value(f"spec.names.{key}[{index}]", name, ",".join(wrong)))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        errors.append(invalid_value("spec.names.listKind", names["listKind"], "kind and listKind may not be the same"))
    return errors


def _limits(spec: Object, names: Object) -> list[FieldError]:
    """Refuse what a real server does and this one does not."""
    errors: list[FieldError] = []
    strategy = (spec.get("conversion") or {}).get("strategy", "None")
    if strategy not in {"None", "Webhook"}:
        errors.append(not_supported("spec.conversion.strategy", strategy, ["None", "Webhook"]))
    elif strategy == "Webhook":
        text = "conversion webhooks are not called by this server; leave out spec.conversion"
        errors.append(field_forbidden("spec.conversion.strategy", text))
    if spec.get("preserveUnknownFields"):
        text = "must be false; use x-kubernetes-preserve-unknown-fields in the schema"
        errors.append(invalid_value("spec.preserveUnknownFields", True, text))
    if names.get("kind") in _BUILT_IN:
        text = f"this server has a kind {names['kind']} of its own and serves no other of that name"
        errors.append(field_forbidden("spec.names.kind", text))
    for index, version in enumerate(spec.get("versions") or ()):
        if version.get("storage") and not version.get("served"):
            text = "only the storage version is served by this server, so it must be served"
            errors.append(field_forbidden(f"spec.versions[{index}].served", text))
        if (version.get("subresources") or {}).get("scale"):
            text = "the scale subresource is not served by this server"
            errors.append(field_forbidden(f"spec.versions[{index}].subresources.scale", text))
    return errors


def _unchanged(spec: Object, old: Object) -> list[FieldError]:
    before = old["spec"]
    conditions = (old.get("status") or {}).get("conditions") or ()
    established = any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)
    names, previous = spec.get("names") or {}, before.get("names") or {}
    pairs = [("spec.group", spec.get("group"), before.get("group"))]
    pairs.append(("spec.names.plural", names.get("plural"), previous.get("plural")))
    if established:
        pairs.insert(0, ("spec.scope", spec.get("scope"), before.get("scope")))
        pairs.insert(1, ("spec.names.kind", names.get("kind"), previous.get("kind")))
    return [invalid_value(path, new, "field is immutable") for path, new, was in pairs if new != was]


def warnings(obj: Object) -> list[str]:
    """Give what a client should know of a definition that is accepted.

    Args:
        obj: the definition.
    """
    spec = obj["spec"]
    served = storage(obj)
    schema = (served.get("schema") or {}).get("openAPIV3Schema") or {}
    found = [f"unrecognized format {name!r}".replace("'", '"') for name in sorted(_formats(schema)) if not known(name)]
    others = [each["name"] for each in spec["versions"] if each.get("served") and each is not served]
    if others:
        found.append(f"only the storage version {served['name']} is served here, not {', '.join(others)}")
    return found


def _formats(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {name for item in schema for name in _formats(item)}
    if not isinstance(schema, dict):
        return set()
    own = {schema["format"]} if isinstance(schema.get("format"), str) and schema["format"] else set()
    return own | {name for item in schema.values() for name in _formats(item)}
