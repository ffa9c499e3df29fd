"""YAML as Kubernetes reads it: safe, timestamps stay text, keys named twice are noticed."""

from __future__ import annotations

import re
from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class KubernetesLoader(_Base):  # type: ignore[misc]  # the C loader where it is built, else the Python one
    """A safe loader; `duplicates` collects the keys given twice."""

    duplicates: list[str] | None = None
    bool_values = {**_Base.bool_values, "y": True, "n": False}  # noqa: RUF012 - as in the base class

    @classmethod
    def read(cls, text: str, duplicates: list[str] | None) -> Any:
        """Read the only document of a text.

        Args:
            text: the YAML.
            duplicates: if given, keys given twice in one mapping are added to it.

        Raises:
            yaml.YAMLError: it is malformed.
        """
        loader = cls(text)
        loader.duplicates = duplicates
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping and note keys given twice."""
        if self.duplicates is not None and isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                text = key.value if isinstance(key, yaml.ScalarNode) else ""
                if text in seen and text != "<<":
                    self.duplicates.append(text)
                seen.add(text)
        return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return]


# A date such as 2026-01-01 is text in every field of the API.
KubernetesLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in _Base.yaml_implicit_resolvers.items()
}  # Go's parser keeps to YAML 1.1, where these are truth values too.
KubernetesLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))
