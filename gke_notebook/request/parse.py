"""What a user wrote for one option, as a checked value; pure. Values come as text from a magic or as Python values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gke_notebook import catalog, names
from gke_notebook.errors import InvalidInput, nearest
from gke_notebook.launch import contract
from gke_notebook.request.text import shown
from gke_notebook.specs import FRAMEWORKS, AcceleratorRequest

MAX_NODES = 5000
MAX_PROCS_PER_NODE = 64
MAX_RETRIES = 100
ENV_LIMIT = 128 * 2**10  # bytes of all variables together; Linux takes no longer single string (execve(2))

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_IMAGE = re.compile(r"[A-Za-z0-9][\w.\-/:]*(?:@sha256:[0-9a-f]{64})?", re.ASCII)
_ALIASES = {"pytorch": "torch", "tf": "tensorflow", "keras": "tensorflow", "flax": "jax", "python": "none", "": "none"}


def check_name(name: object) -> str:
    """Check a job's name: a DNS label of RFC 1035, short enough for its pods' names.

    Args:
        name: what the user wrote.

    Raises:
        InvalidInput: it is none; the text has one that can be used.

    Example:
        >>> check_name("digits")
        'digits'
    """
    if not isinstance(name, str):
        raise InvalidInput(f"a job's name is text, not {shown(name)}")
    if len(name) <= names.MAX_NAME_LENGTH and names.DNS_LABEL.fullmatch(name):
        return name
    why = (
        f"longer than {names.MAX_NAME_LENGTH} characters"
        if len(name) > names.MAX_NAME_LENGTH
        else ("not made of lower-case letters, digits and dashes, starting with a letter")
    )
    raise InvalidInput(f"job name {shown(name)} is {why}; use {suggest_name(name)!r}")


def suggest_name(name: str) -> str:
    """Give a valid job name that is near to any text.

    Args:
        name: any text.

    Example:
        >>> suggest_name("My_Job"), suggest_name("2nd try!")
        ('my-job', 'job-2nd-try')
    """
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "-", name)
    word = re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")
    if word and not word[0].isalpha():
        word = f"job-{word}"
    return word[: names.MAX_NAME_LENGTH].rstrip("-") or "job"


def check_namespace(name: object) -> str:
    """Check a namespace's name: a DNS label of RFC 1123.

    Args:
        name: what the user wrote.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(name, str) or len(name) > 63 or not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name):
        raise InvalidInput(f"namespace {shown(name)} is no namespace's name: lower-case letters, digits and dashes")
    return name


def label_value(text: str) -> str:
    """Make any text a valid label value, for example an e-mail address.

    Args:
        text: the text.

    Example:
        >>> label_value("Ada.Lovelace@example.org")
        'Ada.Lovelace-example.org'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].strip("._-")


def parse_count(value: object, what: str, least: int, most: int) -> int:
    """Read a whole number.

    Args:
        value: an int or its text.
        what: the option's name, for the error.
        least: the smallest that is allowed.
        most: the largest that is allowed.

    Raises:
        InvalidInput: it is no whole number, or out of range.

    Example:
        >>> parse_count("2", "--nodes", 1, 5000)
        2
    """
    number: int | None = None
    if isinstance(value, str):
        if re.fullmatch(r"[+-]?\d{1,18}", value.strip(), re.ASCII):
            number = int(value)
        elif re.fullmatch(r"[+-]?\d+(e\d+)?", value.strip(), re.ASCII | re.IGNORECASE):
            raise InvalidInput(f"{what} {shown(value)} is out of range: {least} to {most}")
    elif hasattr(value, "__index__") and not isinstance(value, bool):
        number = int(value.__index__())
    elif isinstance(value, float) and value.is_integer() and abs(value) < 1e18:
        number = int(value)
    if number is None:
        raise InvalidInput(f"{what} {shown(value)} is no whole number; give one from {least} to {most}")
    if not least <= number <= most:
        near = least if number < least else most
        raise InvalidInput(f"{what} {shown(value)} is out of range: {least} to {most}; the nearest is {near}")
    return number


def parse_accelerator(value: object, what: str = "--gpu") -> AcceleratorRequest | None:
    """Read an accelerator with its count per node.

    Args:
        value: for example ``l4`` or ``l4:2``; None or an empty text for none.
        what: the option's name, for the error.

    Raises:
        InvalidInput: there is no such accelerator, or no machine that has so many of it.

    Example:
        >>> parse_accelerator("l4:2")
        AcceleratorRequest(type='l4', count=2)
    """
    if isinstance(value, AcceleratorRequest):
        value = f"{value.type}:{value.count}"
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{what} {shown(value)} is no accelerator; write its type and count, for example l4:2")
    kind, colon, number = (part.strip() for part in value.partition(":"))
    if not kind:
        raise InvalidInput(f"{what} {shown(value)} has no type; write for example l4:2")
    if kind.isdigit():
        raise InvalidInput(f"{what} {shown(value)} has no type; write for example l4:{kind[:2]}")
    try:
        found = catalog.accelerator(kind)
    except InvalidInput as error:
        if "TPU" in str(error):
            raise InvalidInput(f"{what} {shown(value)}: {error}") from None
        types = [known.name for known in catalog.accelerators()]
        near = difflib.get_close_matches(kind.lower(), types, n=1, cutoff=0.5)  # short words: l5 is half of l4
        if not near:
            raise InvalidInput(f"{what} {shown(value)}: {error}") from None
        raise InvalidInput(
            f"{what} {shown(value)}: there is no accelerator {kind!r}; did you mean {near[0]!r}? "
            f"(of {', '.join(types)})"
        ) from None
    if colon and not number:
        raise InvalidInput(f"{what} {shown(value)} has no count after the colon; write {kind}:{found.counts[0]}")
    count = parse_count(number, f"{what} {kind}: the count", 1, 1024) if colon else found.counts[0]
    if count not in found.counts:
        close = min(found.counts, key=lambda known: (abs(known - count), -known))
        valid = ", ".join(map(str, found.counts))
        raise InvalidInput(
            f"{what} {shown(value)}: no machine has {count} x {found.title}; a node can have {valid}; "
            f"the nearest is {found.name}:{close}"
        )
    return AcceleratorRequest(found.name, count)


def parse_env(value: object, what: str = "--env") -> tuple[tuple[str, str], ...]:
    """Read environment variables.

    Args:
        value: a mapping, or a sequence of ``NAME=value`` texts or (name, value) pairs; the last of one name holds.
        what: the option's name, for the error.

    Raises:
        InvalidInput: a name is no variable's, or set by gke-notebook itself; or it is too much.

    Example:
        >>> parse_env(["SEED=7", "MODE=a=b"])
        (('SEED', '7'), ('MODE', 'a=b'))
    """
    found: dict[str, str] = {}
    for name, text in _pairs(value, what):
        if not _VARIABLE.fullmatch(name):
            raise InvalidInput(f"{what}: {shown(name)} is no name of a variable: letters, digits and _, no digit first")
        if name.startswith(contract.RESERVED_PREFIX) or name in contract.RESERVED:
            raise InvalidInput(f"{what}: {name} is set by gke-notebook itself; choose another name")
        if "\0" in text:
            raise InvalidInput(f"{what}: the value of {name} holds a null character")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"{what}: the value of {name} is no valid Unicode text") from None
        found[name] = text
    size = sum(len(name) + len(text.encode()) + 2 for name, text in found.items())
    if size > ENV_LIMIT:
        raise InvalidInput(f"{what}: the variables take {size // 1024} KiB, more than {ENV_LIMIT // 1024} KiB together")
    return tuple(found.items())


def _pairs(value: object, what: str) -> Iterable[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        items: Iterable[object] = value.items()
    elif isinstance(value, str):
        items = [value]
    elif isinstance(value, Iterable):
        items = value
    else:
        raise InvalidInput(f"{what} takes NAME=value or a dict, not {shown(value)}")
    for item in items:
        if isinstance(item, Mapping):
            yield from _pairs(item, what)
        elif isinstance(item, tuple) and len(item) == 2:
            name, held = item
            if isinstance(held, bool) or not isinstance(held, (str, int, float, Path)):
                hint = f"; write {str(held).lower()!r} or '{int(held)}'" if isinstance(held, bool) else ""
                raise InvalidInput(
                    f"{what}: the value of {shown(name)} must be text or a number, not {shown(held)}{hint}"
                )
            yield str(name), str(held)
        elif isinstance(item, str) and "=" in item:
            name, _, text = item.partition("=")
            yield name.strip(), text
        else:
            raise InvalidInput(f"{what} {shown(item)}: write NAME=value")


def parse_framework(value: object, what: str = "--framework") -> str:
    """Read the name of a framework.

    Args:
        value: one of `specs.FRAMEWORKS`, or another name that people use for it.
        what: the option's name, for the error.

    Raises:
        InvalidInput: there is no such framework; the text has the nearest choice.

    Example:
        >>> parse_framework("PyTorch")
        'torch'
    """
    if value is None:
        return "none"
    if not isinstance(value, str):
        raise InvalidInput(f"{what} {shown(value)}: {nearest('', FRAMEWORKS)}")
    word = value.strip().lower()
    word = _ALIASES.get(word, word)
    if word not in FRAMEWORKS:
        raise InvalidInput(f"{what} {shown(value)}: there is no such framework; {nearest(word, FRAMEWORKS)}")
    return word


def parse_image(value: str, what: str = "--image") -> str:
    """Check the name of a container image.

    Args:
        value: what the user wrote.
        what: the option's name, for the error.

    Raises:
        InvalidInput: it cannot be an image's name.
    """
    text = value.strip()
    if len(text) > 1024 or not _IMAGE.fullmatch(text) or ("//" in text):
        hint = "; leave https:// out" if "://" in text else ""
        raise InvalidInput(f"{what} {shown(value)} is no image; write REPOSITORY/NAME:TAG{hint}")
    return text
