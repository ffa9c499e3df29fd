"""``--fallback "reservation, spot:l4@5m, flex:l4, l4, t4"``: ways to have machines that are tried in order."""

from __future__ import annotations

import re

from gke_notebook import catalog
from gke_notebook.errors import InvalidInput, nearest
from gke_notebook.insight.rungs import Rung
from gke_notebook.request.quantities import parse_duration
from gke_notebook.request.text import shown

# How long a way is waited for when nothing is said: a stockout ends the wait at once in any case.
WAITS = {"reservation": 120, "spot": 300, "flex-start": 900, "on-demand": 300}
MAX_RUNGS = 10
_MODELS = {
    "reservation": "reservation", "reserved": "reservation", "spot": "spot", "flex": "flex-start",
    "flex-start": "flex-start", "on-demand": "on-demand",
}  # fmt: skip
_ZONE = re.compile(r"[a-z]+(?:-[a-z]+)+\d+-[a-z]")


def parse_fallback(
    value: object, *, gpu: object = None, reservation: object = None, what: str = "--fallback"
) -> tuple[tuple[Rung, ...], int]:
    """Read a ladder: ``[MODEL:][TYPE[:COUNT]][/ZONE][@TIME]``, with commas; each is checked against the catalog.

    Args:
        value: what the user wrote.
        gpu: the ``--gpu`` beside it, whose type a rung without one means and whose count all have; without it, the
            first type that a rung names.
        reservation: the ``--reservation`` beside it, which a rung by reservation needs.
        what: the option's name, for the error.

    Returns:
        The rungs, and how many accelerators each node has on all of them.

    Raises:
        InvalidInput: a rung cannot be; the text has the nearest choice.

    Example:
        >>> rungs, count = parse_fallback("spot:l4@5m, l4, t4")
        >>> [(rung.model, rung.accelerator, rung.wait) for rung in rungs], count
        ([('spot', 'l4', 300), ('on-demand', 'l4', 300), ('on-demand', 't4', 300)], 1)
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{what} {shown(value)}: write the ways with commas, for example 'spot:l4@5m, l4, t4'")
    base, base_count = _gpu(gpu)
    parts = [part.strip() for part in value.split(",")]
    if not all(parts):
        raise InvalidInput(f"{what} {shown(value)}: there is nothing between two commas")
    if not 2 <= len(parts) <= MAX_RUNGS:
        raise InvalidInput(f"{what} {shown(value)}: a ladder has 2 to {MAX_RUNGS} rungs, not {len(parts)}")
    named = str(reservation or "").rsplit("/", 1)[-1]
    base = base or next(filter(None, map(_type, parts)), "")
    read = [_rung(part, base, named, what) for part in parts]
    counts = {count for _, count in read if count} | ({base_count} if base_count else set())
    if len(counts) > 1:
        raise InvalidInput(
            f"{what}: every rung must have the same number of accelerators on a node, because a job's pods cannot "
            f"change what they ask for; here are {' and '.join(map(str, sorted(counts)))}"
        )
    count = counts.pop() if counts else 1
    rungs = tuple(rung for rung, _ in read)
    for rung in rungs:
        _check(rung, count, what)
    known = set()
    for rung in rungs:
        key = (rung.model, rung.accelerator, rung.zone)
        if key in known:
            raise InvalidInput(f"{what}: {rung.words} stands there twice; each way is tried once")
        known.add(key)
    return rungs, count


def _gpu(gpu: object) -> tuple[str, int]:
    from gke_notebook.request.parse import parse_accelerator

    found = parse_accelerator(gpu)
    return (found.type, found.count) if found is not None else ("", 0)


def _type(text: str) -> str:
    """Give the accelerator that a rung names, empty when it names none that exists."""
    body = text.partition("@")[0].strip().lower().partition("/")[0]
    first, _, rest = body.partition(":")
    name = (rest if first in _MODELS else body).partition(":")[0]
    return next((one.name for one in catalog.accelerators() if name in {one.name, one.label, *one.aliases}), "")


def _rung(text: str, base: str, reservation: str, what: str) -> tuple[Rung, int]:
    words, at, time = text.partition("@")
    words = words.strip().lower()
    body, slash, zone = words.partition("/")
    if slash and not _ZONE.fullmatch(zone):
        raise InvalidInput(f"{what} {shown(text)}: {zone!r} is no zone; write for example us-central1-b")
    first, _, rest = body.partition(":")
    model = _MODELS.get(first, "")
    kind = rest if model else body
    name, _, number = kind.partition(":")
    if not model and rest and not rest.isdigit():
        raise InvalidInput(
            f"{what} {shown(text)}: there is no way {first!r} to have machines; {nearest(first, _MODELS)}"
        )
    if not name:
        name = base
        if not name:
            raise InvalidInput(f"{what} {shown(text)}: it names no accelerator; write {body}:l4, or --gpu beside it")
    if number and not (number.isascii() and number.isdigit() and 0 < int(number) < 100):
        raise InvalidInput(f"{what} {shown(text)}: {number!r} is no number of accelerators")
    try:
        found = catalog.accelerator(name)
    except InvalidInput as error:
        if not model and ":" not in body:
            choices = [*_MODELS, *(one.name for one in catalog.accelerators())]
            raise InvalidInput(
                f"{what} {shown(text)}: {name!r} is no way and no GPU; {nearest(name, choices)}"
            ) from None
        raise InvalidInput(f"{what} {shown(text)}: {error}") from None
    model = model or "on-demand"
    if model == "reservation" and not reservation:
        raise InvalidInput(f"{what} {shown(text)}: a rung by reservation needs its name: --reservation NAME beside it")
    wait = parse_duration(time, f"{what} {words}@") if at else WAITS[model]
    rung = Rung(words, wait, model, found.name, zone, reservation if model == "reservation" else "")
    return rung, int(number) if number else 0


def _check(rung: Rung, count: int, what: str) -> None:
    try:
        machine = catalog.machine_for(rung.accelerator, count)
    except InvalidInput as error:
        raise InvalidInput(f"{what} {rung.words}: {error}") from None
    why = "" if machine is None else catalog.why_not(machine, rung.model)
    if why:
        raise InvalidInput(f"{what} {rung.words}: {why}")
