"""Descriptions of API types, read from the source files of the installed `kubernetes` package.

The files are read as text: importing its hundreds of models would take far longer than the answer is worth.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
from functools import cache
from pathlib import Path

# Releases up to 35 or so have one documented property per field; later ones have pydantic fields.
_MAP = re.compile(r"attribute_map = \{(.*?)\}", re.DOTALL)
_PAIR = re.compile(r"'(\w+)': '([^']+)'")
_NOQA = r"(?:  # noqa: E501)?\n"
_GETTER = re.compile(
    rf'@property\s+def (\w+)\(self\):\s+"""Gets the \w+ of this \w+\.{_NOQA}\s*\n\s*(.*?){_NOQA}\s*\n', re.DOTALL
)
_FIELD = re.compile(r"^    (\w+): .*?= Field\((.*)\)$", re.MULTILINE)
_ALIAS = re.compile(r'serialization_alias="([^"]+)"')
_DESCRIPTION = re.compile(r'description=("(?:[^"\\]|\\.)*")')
# Types whose models are named after their group, as another group has one of the same name.
_SPECIAL = {"core.Event": "core_v1_event", "core.EventSeries": "core_v1_event_series"}


@cache
def _folder() -> Path | None:
    spec = importlib.util.find_spec("kubernetes")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "client" / "models"


def _file_name(type_name: str) -> str:
    if type_name in _SPECIAL:
        return _SPECIAL[type_name]
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", "V1" + type_name.partition(".")[2])
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).lower()


def describe(type_name: str) -> dict[str, str]:
    """Give the descriptions of a type's fields by their JSON names; empty when they cannot be read.

    Args:
        type_name: for example ``core.PodSpec``.
    """
    folder = _folder()
    if folder is None:
        return {}
    try:
        text = (folder / f"{_file_name(type_name)}.py").read_text(encoding="utf-8")
    except OSError:
        return {}
    mapping = _MAP.search(text)
    names = dict(_PAIR.findall(mapping[1])) if mapping else {}
    found = {}
    for attribute, description in _GETTER.findall(text):
        if attribute in names and not description.startswith(":return"):
            found[names[attribute]] = " ".join(description.split())
    for attribute, arguments in _FIELD.findall(text):
        described = _DESCRIPTION.search(arguments)
        if described is not None:
            alias = _ALIAS.search(arguments)
            with contextlib.suppress(SyntaxError, ValueError):
                found[alias[1] if alias else attribute] = str(ast.literal_eval(described[1]))
    return found
