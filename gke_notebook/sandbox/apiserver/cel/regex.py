"""Regular expressions in time that is linear in the text, so that no pattern can keep the server busy.

Python reads the pattern; the matching is a simulation of all paths at once, as in RE2, whose syntax it takes.
Source: the syntax of RE2 (github.com/google/re2/wiki/Syntax); R. Cox, "Regular Expression Matching: the Virtual Machine
Approach" (swtch.com/~rsc/regexp/regexp2.html, 2009).
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_MAX_STATES = 20_000
_MAX_REPEAT = 1000
_CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "word": "a-zA-Z0-9_",
    "space": r"\t\n\v\f\r ", "xdigit": "0-9a-fA-F", "punct": r"!-/:-@\[-`{-~", "print": " -~", "graph": "!-~",
}  # fmt: skip
_NOT_IN_RE2 = frozenset(
    {"ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS", "POSSESSIVE_REPEAT", "ATOMIC_GROUP", "GROUPREF_IGNORE"}
)
_SPACE = frozenset("\t\n\f\r ")


class RegexError(ValueError):
    """A pattern that RE2 does not take, or that is not taken here."""


def _parser() -> Any:
    return importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


Test = Callable[[str], bool]


class Regex:
    """A compiled pattern.

    Args:
        pattern: the pattern.

    Raises:
        RegexError: it is malformed or too large.

    Example:
        >>> Regex("b+").find("abbc")
        (1, 3)
    """

    def __init__(self, pattern: str) -> None:
        self._code: list[tuple[str, Any, Any]] = []
        text = re.sub(r"\[:(\^?)(\w+):\]", _posix, pattern)
        text = re.sub(r"\(\?<(?![=!])", "(?P<", text).replace(r"\z", r"\Z")
        flags = re.ASCII
        leading = re.match(r"\(\?([ims]+)\)", text)
        if leading is None:
            # Go takes flags anywhere, Python only at the start of a group.
            text = re.sub(r"\(\?([ims]+)\)(.*)$", r"(?\1:\2)", text, flags=re.DOTALL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = _parser().parse(text, flags)
        except re.error as error:
            raise RegexError(f"error parsing regexp: {_in_words_of_re2(error, pattern)}") from error
        except (RecursionError, OverflowError) as error:
            raise RegexError("error parsing regexp: expression nests too deeply") from error
        self._flags = tree.state.flags
        try:
            self._sequence(tree, self._flags)
        except RecursionError as error:
            raise RegexError("error parsing regexp: expression nests too deeply") from error
        self._emit("match")

    def search(self, text: str) -> bool:
        """Tell whether the pattern occurs in a text.

        Args:
            text: the text.
        """
        return self._run(text, 0, any_match=True) is not None

    def find(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Give where the pattern first occurs.

        Args:
            text: the text.
            start: where to begin.
        """
        return self._run(text, start, any_match=False)

    def find_all(self, text: str, limit: int = -1) -> list[str]:
        """Give all occurrences that do not overlap.

        Args:
            text: the text.
            limit: how many at most; negative for all.
        """
        found: list[str] = []
        at, last = 0, -1
        while at <= len(text) and (limit < 0 or len(found) < limit):
            span = self.find(text, at)
            if span is None:
                break
            begin, end = span
            if end > begin or begin != last:
                found.append(text[begin:end])
            last = end
            at = end if end > begin else end + 1
        return found

    def _emit(self, kind: str, one: Any = None, other: Any = None) -> int:
        self._code.append((kind, one, other))
        if len(self._code) > _MAX_STATES:
            raise RegexError("error parsing regexp: expression nests too deeply or is too large")
        return len(self._code) - 1

    def _sequence(self, tree: Any, flags: int) -> None:
        for name, value in tree:
            self._part(str(name), value, flags)

    def _part(self, name: str, value: Any, flags: int) -> None:
        if name in _NOT_IN_RE2:
            raise RegexError("error parsing regexp: invalid or unsupported Perl syntax")
        if name in {"LITERAL", "NOT_LITERAL", "ANY", "IN"}:
            self._emit("char", _test(name, value, flags))
        elif name == "BRANCH":
            self._branch(value[1], flags)
        elif name == "SUBPATTERN":
            _, add, remove, inner = value
            self._sequence(inner, (flags | add) & ~remove)
        elif name in {"MAX_REPEAT", "MIN_REPEAT"}:
            self._repeat(value, flags, lazy=name == "MIN_REPEAT")
        elif name == "AT":
            self._emit("at", str(value), bool(flags & re.MULTILINE))
        else:
            raise RegexError(f"error parsing regexp: {name} is not supported")

    def _branch(self, choices: list[Any], flags: int) -> None:
        ends = []
        for index, choice in enumerate(choices):
            if index == len(choices) - 1:
                self._sequence(choice, flags)
                break
            split = self._emit("split")
            self._sequence(choice, flags)
            ends.append(self._emit("jump"))
            self._code[split] = ("split", split + 1, len(self._code))
        for end in ends:
            self._code[end] = ("jump", len(self._code), None)

    def _repeat(self, value: Any, flags: int, *, lazy: bool) -> None:
        low, high, inner = value
        endless = str(high) == "MAXREPEAT"
        if low > _MAX_REPEAT or (not endless and high > _MAX_REPEAT):
            raise RegexError("error parsing regexp: invalid repeat count")
        for _ in range(low):
            self._sequence(inner, flags)
        if endless:
            split = self._emit("split")
            self._sequence(inner, flags)
            self._emit("jump", split)
            self._choose(split, len(self._code), lazy)
            return
        splits = []
        for _ in range(high - low):
            splits.append(self._emit("split"))
            self._sequence(inner, flags)
        for split in splits:
            self._choose(split, len(self._code), lazy)

    def _choose(self, split: int, end: int, lazy: bool) -> None:
        self._code[split] = ("split", end, split + 1) if lazy else ("split", split + 1, end)

    def _run(self, text: str, start: int, *, any_match: bool) -> tuple[int, int] | None:
        code = self._code
        threads: list[tuple[int, int]] = []
        best: tuple[int, int] | None = None
        for at in range(start, len(text) + 1):
            seen: set[int] = set()
            current: list[tuple[int, int]] = []
            for place, begin in threads:
                self._follow(place, (begin, at), text, seen, current)
            if best is None:
                self._follow(0, (at, at), text, seen, current)
            threads = []
            char = text[at] if at < len(text) else None
            for place, begin in current:
                kind, one, _ = code[place]
                if kind == "match":
                    best = begin, at
                    break  # what comes later has less priority
                if char is not None and one(char):
                    threads.append((place + 1, begin))
            if best is not None and (any_match or not threads):
                return best
        return best

    def _follow(
        self, place: int, span: tuple[int, int], text: str, seen: set[int], found: list[tuple[int, int]]
    ) -> None:
        begin, at = span
        waiting = [place]
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            kind, one, other = self._code[place]
            if kind == "jump":
                waiting.append(one)
            elif kind == "split":
                waiting += (other, one)
            elif kind == "at":
                if _holds(one, other, text, at):
                    waiting.append(place + 1)
            else:
                found.append((place, begin))


def _in_words_of_re2(error: re.error, pattern: str) -> str:
    """Say what Python says of a pattern as RE2 does, where the two find the same fault."""
    said, rest = error.msg, pattern[error.pos or 0 :]
    if said.startswith("unterminated character set"):
        return f"missing closing ]: `{rest}`"
    if said.startswith("missing )"):
        return f"missing closing ): `{pattern}`"
    if said.startswith("unbalanced parenthesis"):
        return f"unexpected ): `{pattern}`"
    if said.startswith("nothing to repeat"):
        return f"missing argument to repetition operator: `{rest[:1]}`"
    return said


def _posix(match: re.Match[str]) -> str:
    if match[2] not in _CLASSES or match[1]:
        raise RegexError(f"error parsing regexp: invalid character class range: `{match[0]}`")
    return _CLASSES[match[2]]


def _holds(where: str, multiline: bool, text: str, at: int) -> bool:
    if where in {"AT_BOUNDARY", "AT_NON_BOUNDARY"}:
        before = at > 0 and _is_word(text[at - 1])
        after = at < len(text) and _is_word(text[at])
        return (before != after) == (where == "AT_BOUNDARY")
    if where in {"AT_BEGINNING", "AT_BEGINNING_STRING"}:
        return at == 0 or (multiline and where == "AT_BEGINNING" and text[at - 1] == "\n")
    return at == len(text) or (multiline and where == "AT_END" and text[at] == "\n")


def _test(name: str, value: Any, flags: int) -> Test:
    if name == "ANY":
        return (lambda _: True) if flags & re.DOTALL else (lambda char: char != "\n")
    if name == "IN":
        tests = [_item(str(kind), what) for kind, what in value if str(kind) != "NEGATE"]
        negated = bool(value) and str(value[0][0]) == "NEGATE"
        base: Test = lambda char: any(test(char) for test in tests)  # noqa: E731 - one of several tests
    else:
        base, negated = _item("LITERAL", value), name == "NOT_LITERAL"
    folded = base if not flags & re.IGNORECASE else (lambda char: base(char.lower()) or base(char.upper()))
    return (lambda char: not folded(char)) if negated else folded


def _item(kind: str, what: Any) -> Test:
    if kind == "LITERAL":
        wanted = chr(what)
        return lambda char: char == wanted
    if kind == "RANGE":
        low, high = what
        return lambda char: low <= ord(char) <= high
    name = str(what)
    tests: dict[str, Test] = {
        "DIGIT": lambda char: "0" <= char <= "9",
        "SPACE": lambda char: char in _SPACE,
        "WORD": _is_word,
    }
    test = tests.get(name.removeprefix("CATEGORY_").removeprefix("NOT_"))
    if test is None:
        raise RegexError(f"error parsing regexp: {name} is not supported")
    return (lambda char: not test(char)) if "_NOT_" in name else test


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Regex:
    """Compile a pattern, or give it again.

    Args:
        pattern: the pattern.

    Raises:
        RegexError: as `Regex`.
    """
    return Regex(pattern)
