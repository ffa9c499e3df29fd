"""Requirements for pip as people write them; reads a requirements file where one is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gke_notebook.errors import InvalidInput, nearest
from gke_notebook.request.text import shown

# Without `packaging`: name, extras, a URL or versions, a marker (PyPA, "Dependency specifiers").
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[\w.\-]*[A-Za-z0-9])?\s*(?:\[[\w.\-,\s]*\])?\s*(?:@\s*\S+|(?:\(?\s*(?:(?:===|==|[<>~!]=|<|>)\s*[\w.*+!\-]+\s*,?\s*)+\)?)?)"
    r"\s*(?:;.*)?",
    re.ASCII,
)


def parse_requirements(value: object, base: Path, what: str = "--requirements") -> tuple[str, ...]:
    """Read requirements for pip.

    Args:
        value: a sequence, a text with commas or spaces between them, or the path of a requirements file.
        base: the directory to which a path is relative.
        what: the option's name, for the error.

    Raises:
        InvalidInput: one is no requirement, or there is no such file.

    Example:
        >>> parse_requirements("numpy>=1.20,<3 scikit-learn", Path())
        ('numpy>=1.20,<3', 'scikit-learn')
    """
    if value is None:
        return ()
    if isinstance(value, Path):
        return _requirements_file(base / value, what)
    if isinstance(value, str):
        text = value.strip()
        if text.endswith((".txt", ".in")) or (text and "\n" not in text and "/" in text and "@" not in text):
            return _requirements_file(base / text, what)
        lines = _split_requirements(text)
    elif isinstance(value, Sequence):
        lines = [str(item).strip() for item in value]
    else:
        raise InvalidInput(f"{what} takes names or a requirements file, not {shown(value)}")
    return tuple(dict.fromkeys(_requirement(line, what) for line in lines if line))


def _split_requirements(text: str) -> list[str]:
    if "\n" in text:
        return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if ";" in text or "@" in text:  # a marker or a URL has spaces of its own
        return [text]
    # A comma or a space begins the next one where a name follows; else it is between versions of the same one.
    inside, words, word = 0, [], ""
    for place, sign in enumerate(text):
        inside += (sign in "[(") - (sign in "])")
        rest = text[place + 1 :].lstrip(" ,")
        begins = (
            not inside and sign in ", " and (not rest or rest[0].isalnum()) and word.strip()[-1:] not in set("<>=!~,")
        )
        if begins:
            words.append(word.strip())
            word = ""
        else:
            word += sign
    words.append(word.strip())
    return [found.strip(", ") for found in words if found.strip(", ")]


def _requirements_file(path: Path, what: str) -> tuple[str, ...]:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        near = nearest(path.name, [one.name for one in path.parent.glob("*.txt")]) if path.parent.is_dir() else ""
        near = f"; {near}" if near and not near.endswith(": ") else ""
        raise InvalidInput(f"{what} {path.name}: there is no such file{near}") from None
    except (OSError, UnicodeDecodeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{what} {path.name}: the file cannot be read: {error}") from None
    found = []
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        stripped = re.sub(r"(^|\s)#.*$", "", line).strip()
        if stripped:
            found.append(_requirement(stripped, f"{what} {path.name} line {number}"))
    return tuple(found)


def _requirement(line: str, what: str) -> str:
    if line.startswith("-"):
        word = line.split("=", maxsplit=1)[0].split(maxsplit=1)[0]
        if word in {"-r", "--requirement", "-c", "--constraint", "-e", "--editable"}:
            raise InvalidInput(f"{what}: {shown(line)} names a file that does not travel; write its lines out")
        return line
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        good = _REQUIREMENT.fullmatch(line) is not None
    else:
        try:
            Requirement(line)
            good = True
        except InvalidRequirement:
            good = False
    if not good:
        single = re.sub(r"(?<![<>=!~])=(?!=)", "==", line)
        hint = f"; did you mean {single!r}?" if single != line else "; write for example numpy or numpy>=1.24"
        raise InvalidInput(f"{what}: {shown(line)} is no requirement{hint}")
    return line
