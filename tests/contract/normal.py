"""Two servers' answers, made comparable: only what cannot be equal is replaced, everything else stays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

Rule = tuple[str, str]
"""A regular expression and what stands for its matches in every string."""

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MICRO_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# The suffix that the API server gives: five of its own alphabet (k8s.io/apimachinery, util/rand, 1.34).
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_TOKEN_VOLUME = re.compile(rf"\bkube-api-access-{_SUFFIX}\b")
_ADDRESS = re.compile(r"^\d{1,3}(\.\d{1,3}){3}$")
_ENVIRONMENT_KEYS = ("clusterIP",)


class Normal:
    """Replaces uids, versions, times and generated names by tokens that say which one of them it was.

    The same uid, version or name gets the same token wherever it comes again, so that an object that was changed when
    it should not have been, or replaced by another, still differs.

    Args:
        rules: further replacements, for what only one test knows to be the environment.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = [(re.compile(pattern), text) for pattern, text in rules]
        self._uids: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        """Give the comparable form of a transcript: JSON values, all the way down."""
        for found in _objects(value):
            self._learn_name(found)
        return self._value(value)

    def _learn_name(self, item: dict[str, Any]) -> None:
        prefix, name = item.get("generateName"), item.get("name")
        if isinstance(prefix, str) and isinstance(name, str) and re.fullmatch(re.escape(prefix) + _SUFFIX, name):
            self._names.setdefault(name, f"{prefix}<random-{len(self._names) + 1}>")

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._mapping(value)
        if isinstance(value, (list, tuple)):
            return [self._value(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _mapping(self, item: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in item.items():
            name = self._text(key)
            if key == "resourceVersion" and isinstance(value, str) and value.isdigit() and value != "0":
                # That of a list is the server's own count, and goes on with what others write.
                result[name] = self._version(value) if "uid" in item or "name" in item else "<version>"
            elif key == "continue" and isinstance(value, str) and len(value) > 20:
                result[name] = "<continue>"
            elif key in _ENVIRONMENT_KEYS and isinstance(value, str) and _ADDRESS.match(value):
                result[name] = "<address>"
            elif key == "clusterIPs" and isinstance(value, list):
                result[name] = ["<address>" if _ADDRESS.match(str(each)) else each for each in value]
            elif key == "managedFields" and isinstance(value, list):
                # They stand in the order of their times, in which two writes may be a second apart or not.
                result[name] = sorted(map(self._value, value), key=_manager)
            elif key in ("nodePort", "healthCheckNodePort") and isinstance(value, int) and value:
                result[name] = "<port>"
            else:
                result[name] = self._value(value)
        return result

    def _version(self, value: str) -> str:
        return self._versions.setdefault(value, f"<version-{len(self._versions) + 1}>")

    def _uid(self, match: re.Match[str]) -> str:
        return self._uids.setdefault(match.group(), f"<uid-{len(self._uids) + 1}>")

    def _text(self, text: str) -> str:
        for name, token in self._names.items():
            text = text.replace(name, token)
        text = _UID.sub(self._uid, text)
        text = _MICRO_TIME.sub("<micro time>", text)
        text = _TIME.sub("<time>", text)
        text = _TOKEN_VOLUME.sub("kube-api-access-<random>", text)
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        return text


def _manager(entry: Any) -> tuple[str, ...]:
    found = entry if isinstance(entry, dict) else {}
    return tuple(str(found.get(key, "")) for key in ("operation", "manager", "subresource"))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _objects(item)


_MISSING = "<missing>"


def differences(embedded: Any, real: Any, path: str = "") -> list[str]:
    """Say where two normalised transcripts differ, one line for each place.

    Args:
        embedded: what the embedded server said.
        real: what the real one said.
        path: where in the transcript both are.

    Example:
        >>> differences({"a": [1, 2]}, {"a": [1, 3], "b": None})
        ['.a[1]: embedded 2, real 3', '.b: embedded <missing>, real None']
    """
    if isinstance(embedded, dict) and isinstance(real, dict):
        found = []
        for key in {**embedded, **real}:
            if key not in embedded or key not in real:
                ours, theirs = (repr(side[key]) if key in side else _MISSING for side in (embedded, real))
                found.append(f"{path}.{key}: embedded {ours}, real {theirs}")
            else:
                found += differences(embedded[key], real[key], f"{path}.{key}")
        return found
    if isinstance(embedded, list) and isinstance(real, list) and len(embedded) == len(real):
        pairs = enumerate(zip(embedded, real, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{path}[{index}]")]
    # 1 and True, 1 and 1.0 are equal in Python and not in JSON.
    if type(embedded) is type(real) and embedded == real:
        return []
    return [f"{path}: embedded {embedded!r}, real {real!r}"]
