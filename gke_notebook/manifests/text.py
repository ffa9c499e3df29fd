"""Manifests as YAML that a person reads and `kubectl apply -f` takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gke_notebook.objects import Manifest


def to_yaml(manifests: Iterable[Manifest]) -> str:
    """Write manifests as one YAML text of several documents, program text as literal blocks.

    Args:
        manifests: the objects, in the order in which they are to be created.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _data: object) -> bool:
            return True  # equal labels are written out each time, not as anchors

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump_all(
        list(manifests), Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=True, explicit_start=True
    )
