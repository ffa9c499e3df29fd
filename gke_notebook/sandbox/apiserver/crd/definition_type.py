"""The type of CustomResourceDefinitions themselves.

Source: k8s.io/apiextensions-apiserver v0.34 (`pkg/apis/apiextensions/v1/types.go`).
"""

from __future__ import annotations

from functools import cache

from gke_notebook.sandbox.apiserver.schema import LIST, MAP, Field, Type

from .types import leaf, metadata, struct


def _type(name: str, /, **fields: Field) -> Type:
    return Type(fields={key.rstrip("_"): field for key, field in fields.items()}, name=f"apiextensions.{name}")


def _strings() -> Field:
    return leaf("string", LIST, list_type="atomic")


def _schema_props() -> Type:
    found = _type("JSONSchemaProps")
    texts = ("id", "$schema", "$ref", "description", "type", "format", "title", "pattern")
    whole = ("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties")
    flags = ("exclusiveMaximum", "exclusiveMinimum", "uniqueItems", "nullable", "x-kubernetes-preserve-unknown-fields",
             "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string")  # fmt: skip
    found.fields.update({name: leaf() for name in (*texts, "x-kubernetes-list-type", "x-kubernetes-map-type")})
    found.fields.update({name: leaf("int64") for name in whole})
    found.fields.update({name: leaf("double") for name in ("maximum", "minimum", "multipleOf")})
    found.fields.update({name: leaf("bool") for name in flags})
    found.fields.update({name: leaf("raw") for name in ("default", "example", "additionalProperties", "additionalItems",
                                                        "dependencies", "externalDocs")})  # fmt: skip
    found.fields["enum"] = leaf("raw", LIST)
    found.fields.update({name: _strings() for name in ("required", "x-kubernetes-list-map-keys")})
    found.fields.update({name: struct(found, LIST) for name in ("allOf", "oneOf", "anyOf")})
    found.fields.update({name: struct(found, MAP) for name in ("properties", "patternProperties", "definitions")})
    found.fields.update({name: struct(found) for name in ("not", "items")})
    rule = _type(
        "ValidationRule", rule=leaf(), message=leaf(), messageExpression=leaf(), reason=leaf(), fieldPath=leaf(),
        optionalOldSelf=leaf("bool"),
    )  # fmt: skip
    found.fields["x-kubernetes-validations"] = struct(rule, LIST, list_type="map", keys=("rule",))
    return found


@cache
def definition_type() -> Type:
    """Give the type of a CustomResourceDefinition."""
    names = _type(
        "CustomResourceDefinitionNames", plural=leaf(), singular=leaf(), shortNames=_strings(), kind=leaf(),
        listKind=leaf(), categories=_strings(),
    )  # fmt: skip
    column = _type(
        "CustomResourceColumnDefinition", name=leaf(), type_=leaf(), format_=leaf(), description=leaf(),
        priority=leaf("int32"), jsonPath=leaf(),
    )  # fmt: skip
    scale = _type(
        "CustomResourceSubresourceScale", specReplicasPath=leaf(), statusReplicasPath=leaf(), labelSelectorPath=leaf()
    )
    subresources = _type("CustomResourceSubresources", status=leaf("raw"), scale=struct(scale))
    version = _type(
        "CustomResourceDefinitionVersion", name=leaf(), served=leaf("bool"), storage=leaf("bool"),
        deprecated=leaf("bool"), deprecationWarning=leaf(),
        schema=struct(_type("CustomResourceValidation", openAPIV3Schema=struct(_schema_props()))),
        subresources=struct(subresources),
        additionalPrinterColumns=struct(column, LIST, list_type="atomic"),
        selectableFields=struct(_type("SelectableField", jsonPath=leaf()), LIST, list_type="atomic"),
    )  # fmt: skip
    naming = struct(names)
    spec = _type(
        "CustomResourceDefinitionSpec", group=leaf(), names=naming, scope=leaf(),
        versions=struct(version, LIST, list_type="atomic"),
        conversion=struct(_type("CustomResourceConversion", strategy=leaf(), webhook=leaf("raw"))),
        preserveUnknownFields=leaf("bool"),
    )  # fmt: skip
    spec.always = (("names", naming),)
    condition = _type(
        "CustomResourceDefinitionCondition", type_=leaf(), status=leaf(), lastTransitionTime=leaf("time"),
        reason=leaf(), message=leaf(), observedGeneration=leaf("int64"),
    )  # fmt: skip
    conditions = struct(condition, LIST, list_type="map", keys=("type",))
    conditions.omitempty = False
    found = _type(
        "CustomResourceDefinitionStatus", conditions=conditions,
        acceptedNames=struct(names), storedVersions=_strings(), observedGeneration=leaf("int64"),
    )  # fmt: skip
    body = struct(spec)
    root = _type(
        "CustomResourceDefinition", apiVersion=leaf(), kind=leaf(), metadata=struct(metadata()), spec=body,
        status=struct(found),
    )  # fmt: skip
    # What is written even when nobody set it is owned by nobody as a whole.
    root.always = (("spec", body),)
    return root
