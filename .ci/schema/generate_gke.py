"""Write gke_notebook/sandbox/gke/schema.json: the names and types of the fields of the Container API's requests.

Only facts are taken, from the descriptors of the installed google-cloud-container. Run it in a checkout:
`python .ci/schema/generate_gke.py`; a test compares the file with what is installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[2] / "gke_notebook/sandbox/gke/schema.json"
REQUESTS = (
    "CreateNodePoolRequest", "SetNodePoolSizeRequest", "SetNodePoolAutoscalingRequest", "SetNodePoolManagementRequest",
    "UpdateNodePoolRequest", "CancelOperationRequest", "SetLabelsRequest",
)  # fmt: skip
# Messages with a JSON form of their own (protobuf documentation, "ProtoJSON format").
SPECIAL = {
    "google.protobuf.Duration": "duration",
    "google.protobuf.Timestamp": "time",
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.UInt32Value": "int32",
    "google.protobuf.StringValue": "string",
    "google.protobuf.DoubleValue": "double",
}
# The numbers of FieldDescriptor.TYPE_*.
PLAIN = {1: "double", 2: "double", 3: "int64", 4: "int64", 5: "int32", 8: "bool", 9: "string", 12: "bytes", 13: "int32"}


def schema() -> dict[str, Any]:
    """Read the descriptors."""
    from google.cloud.container_v1.types import cluster_service

    messages: dict[str, dict[str, Any]] = {}
    enums: dict[str, dict[str, int]] = {}

    def name_of(full: str) -> str:
        return full.removeprefix("google.container.v1.")

    def type_of(field: Any) -> str:
        if field.enum_type is not None:
            name = name_of(field.enum_type.full_name)
            enums[name] = {value.name: value.number for value in field.enum_type.values}
            return f"enum:{name}"
        if field.message_type is not None:
            full = field.message_type.full_name
            if full in SPECIAL:
                return SPECIAL[full]
            walk(field.message_type)
            return name_of(full)
        return PLAIN[field.type]

    def walk(message: Any) -> None:
        name = name_of(message.full_name)
        if name in messages:
            return
        fields = messages[name] = {}
        for field in message.fields:
            entry = message_field = field.message_type
            if message_field is not None and message_field.GetOptions().map_entry:
                values = {item.name: item for item in entry.fields}
                fields[field.json_name] = {"map": type_of(values["value"])}
            elif field.is_repeated:
                fields[field.json_name] = [type_of(field)]
            else:
                fields[field.json_name] = type_of(field)

    for request in REQUESTS:
        walk(getattr(cluster_service, request).pb().DESCRIPTOR)
    return {"messages": dict(sorted(messages.items())), "enums": dict(sorted(enums.items()))}


def text() -> str:
    """Give the file's text."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
