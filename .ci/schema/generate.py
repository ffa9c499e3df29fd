"""Write gke_notebook/sandbox/apiserver/schema.json from the Go modules of the Kubernetes API.

Only facts are taken: names of fields, their types and numbers, and the markers that say how lists and maps merge.
Run it in a checkout: `python .ci/schema/generate.py` (needs `go`; the two modules are fetched into the module cache).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "gke_notebook/sandbox/apiserver/schema.json"
VERSION = "v0.34.4"
API = "k8s.io/api"
MACHINERY = "k8s.io/apimachinery"

# Package in the table -> module and folder.
PACKAGES = {
    "core": (API, "core/v1"),
    "batch": (API, "batch/v1"),
    "coordination": (API, "coordination/v1"),
    "scheduling": (API, "scheduling/v1"),
    "authorization": (API, "authorization/v1"),
    "authentication": (API, "authentication/v1"),
    "policy": (API, "policy/v1"),
    "rbac": (API, "rbac/v1"),
    "admissionregistration": (API, "admissionregistration/v1"),
    "meta": (MACHINERY, "pkg/apis/meta/v1"),
}
GROUPS = {
    "coordination": "coordination.k8s.io",
    "scheduling": "scheduling.k8s.io",
    "authorization": "authorization.k8s.io",
    "authentication": "authentication.k8s.io",
    "rbac": "rbac.authorization.k8s.io",
    "admissionregistration": "admissionregistration.k8s.io",
    "core": "",
    "meta": "meta.k8s.io",
}
# Types with a JSON form of their own.
SPECIAL = {
    "meta.Time": "time",
    "meta.MicroTime": "microtime",
    "meta.FieldsV1": "fieldsv1",
    "resource.Quantity": "quantity",
    "intstr.IntOrString": "intorstring",
    "runtime.RawExtension": "raw",
    "[]byte": "bytes",
    "float64": "double",
}
INLINED = 1000  # as in wire.py
PLAIN = {"string", "bool", "int32", "int64"}
ALIASES = {"v1": "core", "corev1": "core", "apiv1": "core", "metav1": "meta", "types": "types"}


@dataclass
class GoField:
    """A field as it stands in a struct."""

    name: str
    go_type: str
    tags: dict[str, str]
    markers: dict[str, list[str]]


@dataclass
class Package:
    """What one `types.go` declares."""

    structs: dict[str, list[GoField]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    markers: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    constants: dict[str, list[str]] = field(default_factory=dict)


def module_dir(module: str) -> Path:
    """Ask the go command where a module lies, fetching it if need be."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "go.mod").write_text("module schema\n\ngo 1.24\n")
        found = subprocess.run(
            ["go", "mod", "download", "-json", f"{module}@{VERSION}"],
            cwd=folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
    return Path(json.loads(found.stdout)["Dir"])


def parse_markers(comments: list[str]) -> dict[str, list[str]]:
    """Collect the `+name=value` lines of a comment."""
    found: dict[str, list[str]] = {}
    for line in comments:
        match = re.fullmatch(r"\+([\w:.-]+)(?:=(.*))?", line.strip())
        if match:
            found.setdefault(match[1], []).append((match[2] or "").strip())
    return found


def parse(text: str) -> Package:
    """Read the structs, the named types and the string constants of a Go file."""
    package = Package()
    comments: list[str] = []
    struct: list[GoField] | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("//"):
            comments.append(line[2:])
            continue
        if struct is not None:
            if raw == "}":
                struct = None
            elif match := re.match(r"(?:(\w+)\s+)?([\w.\[\]*{}]+)\s+`(.*)`", line):
                tags = dict(re.findall(r'(\w+):"([^"]*)"', match[3]))
                struct.append(GoField(match[1] or "", match[2], tags, parse_markers(comments)))
        elif match := re.match(r"type (\w+) struct {", raw):
            package.markers[match[1]] = parse_markers(comments)
            struct = package.structs[match[1]] = []
            if raw.rstrip().endswith("}"):
                struct = None
        elif match := re.match(r"type (\w+) (?:= )?([\w.\[\]]+)$", raw):
            package.markers[match[1]] = parse_markers(comments)
            package.names[match[1]] = match[2]
        elif match := re.match(r'(?:const )?\w+\s+(\w+)\s+= "([^"]*)"', line):
            package.constants.setdefault(match[1], []).append(match[2])
        if line:
            comments = []
        elif struct is None:
            # A blank line parts a comment from the type below it; markers above `+enum` blocks stay with the type.
            comments = [each for each in comments if each.strip().startswith("+")]
    return package


class Generator:
    """Walks the types that the roots reach and writes them down."""

    def __init__(self, packages: dict[str, Package]) -> None:
        self.packages = packages
        self.types: dict[str, Any] = {}
        self.scalars: dict[str, Any] = {}

    def qualified(self, package: str, name: str) -> str:
        """Give the package-qualified form of a type name used in `package`."""
        if "." not in name:
            return name if name in PLAIN or name in SPECIAL else f"{package}.{name}"
        prefix, base = name.split(".")
        return f"{ALIASES.get(prefix, prefix)}.{base}"

    def resolve(self, package: str, go_type: str) -> tuple[str, str]:
        """Give container (``l``, ``m`` or nothing) and element type of a Go type."""
        go_type = go_type.removeprefix("*")
        if go_type in SPECIAL:
            return "", SPECIAL[go_type]
        if go_type.startswith("[]"):
            inner, element = self.resolve(package, go_type[2:])
            assert not inner, go_type
            return "l", element
        if match := re.fullmatch(r"map\[[\w.]+\](.+)", go_type):
            inner, element = self.resolve(package, match[1])
            # ExtraValue is the one list inside a map.
            return "m", f"[]{element}" if inner else element
        name = self.qualified(package, go_type)
        if name in SPECIAL or name in PLAIN:
            return "", SPECIAL.get(name, name)
        if name == "types.UID":
            return "", "string"
        home, base = name.split(".")
        source = self.packages[home]
        if base in source.names:
            container, element = self.resolve(home, source.names[base])
            if container or element not in PLAIN:
                return container, element
            known: dict[str, Any] = {"type": element}
            if "enum" in source.markers[base]:
                known["enum"] = sorted(set(source.constants.get(base, [])))
            self.scalars[name] = known
            return "", name
        self.add(name)
        return "", name

    def add(self, name: str) -> None:
        """Add a struct and all that it reaches."""
        if name in self.types:
            return
        home, base = name.split(".")
        entry: dict[str, Any] = {"fields": {}}
        if "atomic" in self.packages[home].markers[base].get("structType", []):
            entry["atomic"] = True
        self.types[name] = entry
        for each in self.packages[home].structs[base]:
            self.add_field(entry["fields"], home, each, 0)

    def add_field(self, into: dict[str, Any], package: str, source: GoField, via: int) -> None:
        """Add one field; the fields of an inlined struct become the outer struct's own.

        `via` is the number of the inlined struct in protobuf, where it is a message of its own, and 1000 times that
        plus the next for one in another; -1 when it is not sent (`apiVersion` and `kind` stand in the envelope).
        """
        json_name, *options = source.tags.get("json", "").split(",")
        if json_name == "-":
            return
        number = int(source.tags["protobuf"].split(",")[1]) if "protobuf" in source.tags else 0
        if via < 0:
            number = via = 0
        if "inline" in options:
            home, base = self.qualified(package, source.go_type).split(".")
            for each in self.packages[home].structs[base]:
                assert not via or number, source
                self.add_field(into, home, each, via * INLINED + number or -1)
            return
        container, element = self.resolve(package, source.go_type)
        marks = source.markers
        found: dict[str, Any] = {"n": number, "t": element}
        optional = "omitempty" in options or "omitzero" in options or "optional" in marks
        flags = {
            "c": container,
            "v": via,
            "p": source.go_type.startswith("*"),
            "o": "omitempty" in options or "omitzero" in options,
            "r": not optional or "required" in marks,
            "l": "".join(marks.get("listType", [])),
            "k": marks.get("listMapKey", []),
            "a": "atomic" in marks.get("structType", []) + marks.get("mapType", []),
            "m": source.tags.get("patchMergeKey", ""),
            "s": source.tags.get("patchStrategy", ""),
        }
        found.update({key: value for key, value in flags.items() if value})
        for text in marks.get("default", []):
            if not text.startswith("ref("):
                found["d"] = json.loads(text)
        into[json_name] = found


def generate() -> dict[str, Any]:
    """Give the whole table."""
    sys.path.insert(0, str(ROOT))
    from gke_notebook.sandbox.apiserver.kinds import BODY_KINDS, KINDS

    homes = {module: module_dir(module) for module in (API, MACHINERY)}
    packages = {
        name: parse((homes[module] / folder / "types.go").read_text()) for name, (module, folder) in PACKAGES.items()
    }
    generator = Generator(packages)
    roots = {}
    for kind in (*KINDS, *BODY_KINDS):
        package = next(name for name in PACKAGES if GROUPS.get(name, name) == kind.group)
        roots[f"{kind.api_version}/{kind.kind}"] = f"{package}.{kind.kind}"
        generator.add(f"{package}.{kind.kind}")
    for extra in ("meta.ListMeta", "meta.Status"):
        generator.add(extra)
    return {
        "source": f"{API} {VERSION}, {MACHINERY} {VERSION}",
        "roots": roots,
        "scalars": dict(sorted(generator.scalars.items())),
        "types": dict(sorted(generator.types.items())),
    }


def check_numbers(table: dict[str, Any]) -> None:
    """Compare the field numbers with those of `generated.proto`, which the Go tags are generated with."""
    homes = {module: module_dir(module) for module in (API, MACHINERY)}
    for name, (module, folder) in PACKAGES.items():
        text = (homes[module] / folder / "generated.proto").read_text()
        for message, body in re.findall(r"^message (\w+) {\n(.*?)^}", text, re.MULTILINE | re.DOTALL):
            entry = table["types"].get(f"{name}.{message}")
            if entry is None:
                continue
            # The proto writes `uID` where JSON says `uid`.
            numbers = {found[0].lower(): int(found[1]) for found in re.findall(r"(\w+) = (\d+);", body)}
            for key, found in entry["fields"].items():
                if found["n"] and not found.get("v") and numbers.get(key.lower()) != found["n"]:
                    raise SystemExit(
                        f"{name}.{message}.{key}: {found['n']} in types.go, {numbers.get(key.lower())} in the proto"
                    )


def main() -> None:
    """Write the file."""
    table = generate()
    check_numbers(table)
    lines = [f'"source": {json.dumps(table["source"])}']
    for part in ("roots", "scalars", "types"):
        rows = ",\n".join(
            f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in table[part].items()
        )
        lines.append(f'"{part}": {{\n{rows}\n}}')
    TARGET.write_text("{" + ",\n".join(lines) + "}\n")
    sys.stdout.write(f"{TARGET.name}: {len(table['types'])} types, {TARGET.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
