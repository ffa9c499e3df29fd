"""The little of PromQL that is served: one selector. Everything else is refused by name, not guessed at."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gke_notebook.sandbox.metrics.samples import NAME, Labels, unescape

SUPPORTED = 'this server evaluates plain selectors only, such as name{label="value"}, with the matchers = != =~ !~'
_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")
_MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`([^`]*)`)\s*(,|$)"""
)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")


class BadData(ValueError):  # noqa: N818 - Prometheus calls it so
    """A parameter that cannot be used; its text goes to the caller."""


@dataclass(frozen=True)
class Selector:
    """A metric's name and matchers of labels.

    Args:
        tests: what every label must pass; a label that is missing counts as empty.
    """

    tests: tuple[tuple[str, Callable[[str], bool]], ...]

    def matches(self, labels: Labels) -> bool:
        """Say whether a series is selected."""
        return all(test(labels.get(label, "")) for label, test in self.tests)


def parse_selector(text: str) -> Selector:
    """Read an instant vector selector.

    Args:
        text: for example ``container_memory_working_set_bytes{pod=~"digits-.*"}``.

    Raises:
        BadData: it is something else.
    """
    name = _NAME.match(text)
    rest = text[name.end() :] if name else text.strip()
    tests: list[tuple[str, Callable[[str], bool]]] = []
    if name:
        tests.append((NAME, _equals(name[1])))
    rest = rest.strip()
    if rest:
        if not (rest.startswith("{") and rest.endswith("}")):
            raise BadData(f'invalid parameter "query": {text!r}: {SUPPORTED}')
        tests += _matchers(text, rest[1:-1])
    if not tests:
        raise BadData(f'invalid parameter "query": an empty selector: {SUPPORTED}')
    return Selector(tuple(tests))


def _matchers(query: str, text: str) -> list[tuple[str, Callable[[str], bool]]]:
    tests = []
    position = 0
    while text[position:].strip():
        match = _MATCHER.match(text, position)
        if match is None:
            raise BadData(f'invalid parameter "query": {query!r}: {SUPPORTED}')
        label, operator = match[1], match[2]
        value = match[5] if match[5] is not None else unescape(match[3] if match[3] is not None else match[4])
        tests.append((label, _test(operator, value)))
        position = match.end()
    return tests


def _test(operator: str, value: str) -> Callable[[str], bool]:
    if operator == "=":
        return _equals(value)
    if operator == "!=":
        return lambda text: text != value
    try:
        pattern = re.compile(value, re.DOTALL)
    except re.error as error:
        raise BadData(f'invalid parameter "query": the pattern {value!r}: {error}') from error
    if operator == "=~":
        return lambda text: pattern.fullmatch(text) is not None
    return lambda text: pattern.fullmatch(text) is None


def _equals(value: str) -> Callable[[str], bool]:
    return lambda text: text == value


def parse_time(name: str, text: str) -> float:
    """Read a time: Unix seconds or RFC 3339.

    Args:
        name: of the parameter, for the error.
        text: its value.

    Raises:
        BadData: it is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is not None:
            return moment.timestamp()
    except ValueError:
        pass
    raise BadData(f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp')


def parse_step(text: str) -> float:
    """Read the width of a step: seconds, or a duration such as ``1m30s``.

    Args:
        text: the value of the parameter.

    Raises:
        BadData: it is neither, or not positive.
    """
    match = _DURATION.fullmatch(text)
    if text and match is not None:
        sizes = (86400.0, 3600.0, 60.0, 1.0, 0.001)
        step = sum(int(part) * size for part, size in zip(match.groups(), sizes, strict=True) if part)
    else:
        try:
            step = float(text)
        except ValueError:
            raise BadData(f'invalid parameter "step": cannot parse "{text}" to a valid duration') from None
    if not 0 < step < float("inf"):
        raise BadData('invalid parameter "step": zero or negative query resolution step widths are not accepted')
    return step
