"""Plain values become source that gives the same value again."""

# ruff: noqa: E501 - a table reads better with a case on a line

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import math
import pathlib
import re
import types
import uuid
import zoneinfo
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gke_notebook.program.values import VALUES_LIMIT, NotPlain, literal


def same(one: Any, two: Any) -> bool:
    """Compare values and types, NaN being itself and -0.0 not 0.0."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(two)) or (one == two and math.copysign(1, one) == math.copysign(1, two))
    if isinstance(one, complex):
        return same(one.real, two.real) and same(one.imag, two.imag)
    if isinstance(one, (list, tuple, collections.deque)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return len(one) == len(two) and all(map(same, one.items(), two.items()))
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    if isinstance(one, (set, frozenset)):
        return sorted(map(repr, one)) == sorted(map(repr, two))
    return bool(one == two) or one is two


hashable = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.binary(max_size=20), st.fractions(),
    st.floats(allow_nan=False), st.dates(), st.times(), st.datetimes(), st.timedeltas(), st.uuids(),
    st.datetimes(timezones=st.just(datetime.timezone.utc)), st.decimals(allow_nan=False),
)  # fmt: skip
atoms = st.one_of(
    hashable, st.floats(), st.complex_numbers(), st.text(alphabet=st.characters(), max_size=10), st.just(...),
    st.integers(min_value=10**5000, max_value=10**5001), st.builds(range, st.integers(0, 9), st.integers(0, 99), st.integers(1, 9)),
    st.binary(max_size=9).map(bytearray), st.text("abc/.", min_size=1).map(pathlib.Path), st.timezones(),
)  # fmt: skip
plain = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=4),
        st.frozensets(hashable, max_size=4),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
        st.lists(inner, max_size=3).map(lambda items: collections.deque(items, 5)),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(plain)
def test_round_trip(value: Any) -> None:
    text = literal(value)
    assert same(eval(text), value), text
    assert "\n" not in text
    text.encode()


@settings(max_examples=150, deadline=None)
@given(
    npst.arrays(
        st.one_of(
            npst.scalar_dtypes(), npst.byte_string_dtypes(), npst.unicode_string_dtypes(), npst.array_dtypes(max_size=2)
        ).filter(lambda kind: not kind.subdtype),
        npst.array_shapes(min_dims=0, min_side=0, max_side=6),
    )
)
def test_arrays_round_trip(value: np.ndarray) -> None:
    back = eval(literal(value))
    assert back.flags.writeable
    assert same(back, value)


@settings(max_examples=100, deadline=None)
@given(npst.from_dtype(np.dtype("float32")))
def test_numpy_scalars_round_trip(value: Any) -> None:
    back = eval(literal(value))
    assert type(back) is np.float32
    assert back.tobytes() == value.tobytes()


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Point(NamedTuple):
    x: int
    y: Any


@dataclass
class Settings:
    rate: float
    sizes: list[int] = field(default_factory=list)


@dataclass
class Prepared:
    rate: float

    def __post_init__(self) -> None:
        self.rate *= 2


OTHERS: list[Any] = [
    collections.defaultdict(list, {"a": [1]}), collections.Counter("aab"), collections.ChainMap({"a": 1}, {"b": 2}),
    types.SimpleNamespace(a=1, b=[types.SimpleNamespace()]), slice(1, None, 2), NotImplemented,
    re.compile("a+", re.IGNORECASE | re.MULTILINE), re.compile(b"x"), Color.RED, [Color.BLUE], Access.READ | Access.WRITE,
    Point(1, Point(2, [3])), Settings(0.1, [1]), {"k": Settings(math.inf)}, zoneinfo.ZoneInfo("Europe/Berlin"),
    datetime.timezone(datetime.timedelta(hours=2)), datetime.datetime(2026, 1, 1, fold=1), pathlib.PurePosixPath("a"),
    decimal.Decimal("NaN"), fractions.Fraction(1, 3), uuid.UUID(int=7), np.dtype("datetime64[ns]"), np.dtype([("a", "<i4")]),
    np.datetime64("2026-01-01"), np.bool_(True), np.str_("a"), np.array(5), np.arange(300).reshape(3, 100), int, len, (int, str),
]  # fmt: skip


def refer(value: Any) -> str:
    return str(value.__name__)


@pytest.mark.parametrize("value", OTHERS, ids=lambda value: repr(value)[:30])
def test_others_round_trip(value: Any) -> None:
    back = eval(literal(value, refer))
    assert same(back, value) or repr(back) == repr(value)


def test_partial() -> None:
    back = eval(literal(functools.partial(divmod, 7), refer))
    assert back(2) == (3, 1)


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100):
        value = [value]
    return value


REFUSED: dict[str, tuple[Any, str]] = {
    "object": (object(), "a object"),
    "endless": (endless(), "contains itself"),
    "deep": (deep(), "nested"),
    "large": ("x" * (VALUES_LIMIT + 1), "too large"),
    "large array": (np.zeros(VALUES_LIMIT), "too large"),
    "many": (list(range(VALUES_LIMIT)), "too large"),
    "objects": (np.array([{}]), "objects"),
    "function": (lambda: 1, "a function"),
    "subclass of dict": (type("Mine", (dict,), {})(), "a Mine"),
    "prepared": (Prepared(1), "__post_init__"),
    "file": (open(__file__), "a TextIOWrapper"),  # noqa: SIM115
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    value, reason = REFUSED[case]
    with pytest.raises(NotPlain, match=re.escape(reason)):
        literal([value])
    if hasattr(value, "close"):
        value.close()


def test_a_dataclass_with_more_than_its_fields() -> None:
    value = Settings(1)
    value.more = 2  # type: ignore[attr-defined]
    with pytest.raises(NotPlain, match="more than its fields"):
        literal(value, refer)


def test_sets_do_not_depend_on_hash_seeds() -> None:
    assert literal({"b", "a", 3, "c"}) == "{'a', 'b', 'c', 3}"
