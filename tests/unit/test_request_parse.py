"""Options: what they may be, and one line for what they may not."""

# ruff: noqa: E501, PT017 - a table reads better with a case on a line

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gke_notebook import catalog, names, request
from gke_notebook.errors import InvalidInput
from gke_notebook.specs import AcceleratorRequest


def refusal(parse: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def count(value: object) -> int:
    return request.parse_count(value, "--nodes", 1, 5000)


def requirements(value: object) -> tuple[str, ...]:
    return request.parse_requirements(value, Path("/nowhere"))


GOOD: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (request.check_name, "digits-2", "digits-2"),
    (request.check_name, "a" * 57, "a" * 57),
    (count, 2, 2), (count, "2", 2), (count, " 5000 ", 5000), (count, 2.0, 2), (count, np.int64(3), 3), (count, "+3", 3),
    (request.parse_accelerator, None, None), (request.parse_accelerator, "", None),
    (request.parse_accelerator, "l4", AcceleratorRequest("l4", 1)),
    (request.parse_accelerator, "L4:2", AcceleratorRequest("l4", 2)),
    (request.parse_accelerator, "nvidia-tesla-t4:4", AcceleratorRequest("t4", 4)),
    (request.parse_accelerator, "h200", AcceleratorRequest("h200", 8)),
    (request.parse_accelerator, AcceleratorRequest("l4", 8), AcceleratorRequest("l4", 8)),
    (request.parse_duration, "2h", 7200), (request.parse_duration, "90m", 5400), (request.parse_duration, "1h30m", 5400),
    (request.parse_duration, "1d 2h", 93600), (request.parse_duration, "1.5h", 5400), (request.parse_duration, 3600, 3600),
    (request.parse_duration, "3600", 3600), (request.parse_duration, 0.5 + 1, 2), (request.parse_duration, "45S", 45),
    (request.parse_duration, timedelta(minutes=3), 180), (request.parse_duration, np.int32(60), 60),
    (request.parse_memory, "8Gi", 8.0), (request.parse_memory, "8GiB", 8.0), (request.parse_memory, 8, 8.0),
    (request.parse_memory, "8", 8.0), (request.parse_memory, "512Mi", 0.5), (request.parse_memory, "1.5 gib", 1.5),
    (request.parse_memory, "1Ti", 1024.0), (request.parse_memory, "2147483648K", 2000.0), (request.parse_memory, "8G", 8e9 / 2**30),
    (request.parse_cpu, "4", 4.0), (request.parse_cpu, 1.5, 1.5), (request.parse_cpu, "500m", 0.5),
    (request.parse_env, ["A=b", "B=c=d", "C="], (("A", "b"), ("B", "c=d"), ("C", ""))),
    (request.parse_env, {"A": 1, "B": "x y"}, (("A", "1"), ("B", "x y"))),
    (request.parse_env, ["A=1", {"B": 2}, ("A", "3")], (("A", "3"), ("B", "2"))),
    (request.parse_env, "A=b", (("A", "b"),)), (request.parse_env, None, ()),
    (request.parse_framework, "torch", "torch"), (request.parse_framework, "PyTorch", "torch"),
    (request.parse_framework, None, "none"), (request.parse_framework, "TF", "tensorflow"),
    (request.parse_image, "us-docker.pkg.dev/p/r/i:1", "us-docker.pkg.dev/p/r/i:1"),
    (request.parse_image, "localhost:5000/a_b@sha256:" + "0" * 64, "localhost:5000/a_b@sha256:" + "0" * 64),
    (requirements, "jax,numpy,scikit-learn", ("jax", "numpy", "scikit-learn")),
    (requirements, "jax numpy  scikit-learn", ("jax", "numpy", "scikit-learn")),
    (requirements, "numpy>=1.20,<3 jax[cuda12]", ("numpy>=1.20,<3", "jax[cuda12]")),
    (requirements, "numpy>=1.20, <3, jax[a, b]==0.4.*", ("numpy>=1.20, <3", "jax[a, b]==0.4.*")),
    (requirements, "numpy == 1.26", ("numpy == 1.26",)),
    (requirements, "torch; python_version < '3.12'", ("torch; python_version < '3.12'",)),
    (requirements, "p @ https://example.org/p.whl", ("p @ https://example.org/p.whl",)),
    (requirements, ["numpy", "numpy", " jax "], ("numpy", "jax")),
    (requirements, "numpy\n# no\njax\n", ("numpy", "jax")), (requirements, None, ()), (requirements, "", ()),
    (requirements, ["--index-url https://example.org/simple", "a"], ("--index-url https://example.org/simple", "a")),
    (request.label_value, "Ada Lovelace <ada@example.org>", "Ada-Lovelace-ada-example.org"), (request.label_value, "ü", ""),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "given_", "expected"), GOOD)
def test_good(parse: Callable[[Any], Any], given_: Any, expected: Any) -> None:
    found = parse(given_)
    assert found == expected
    assert type(found) is type(expected)


BAD: list[tuple[Callable[[Any], Any], Any, str]] = [
    (request.check_name, "My_Job", "use 'my-job'"), (request.check_name, "2nd", "use 'job-2nd'"), (request.check_name, "", "use 'job'"),
    (request.check_name, "trainResNet", "use 'train-res-net'"), (request.check_name, "a" * 58, "longer than 57 characters"),
    (request.check_name, None, "text, not None"), (request.check_name, "a.b", "use 'a-b'"), (request.check_name, "-a-", "use 'a'"),
    (count, 0, "--nodes 0 is out of range: 1 to 5000; the nearest is 1"), (count, -1, "the nearest is 1"),
    (count, 10**9, "the nearest is 5000"), (count, "1e9", "out of range: 1 to 5000"), (count, 1e9, "the nearest is 5000"),
    (count, 2.5, "no whole number"), (count, "2.5", "no whole number"), (count, "two", "no whole number"), (count, "", "no whole number"),
    (count, True, "no whole number"), (count, None, "no whole number"), (count, float("nan"), "no whole number"), (count, "9" * 5000, "out of range"),
    (request.parse_accelerator, "l5", "did you mean 'l4'?"), (request.parse_accelerator, "h1000:8", "did you mean 'h100'?"),
    (request.parse_accelerator, "l4:3", "no machine has 3 x NVIDIA L4; a node can have 1, 2, 4, 8; the nearest is l4:4"),
    (request.parse_accelerator, "l4:16", "the nearest is l4:8"), (request.parse_accelerator, "h200:1", "the nearest is h200:8"),
    (request.parse_accelerator, "l4:0", "out of range"), (request.parse_accelerator, "l4:-1", "out of range"), (request.parse_accelerator, "l4:x", "no whole number"),
    (request.parse_accelerator, "l4:", "write l4:1"), (request.parse_accelerator, ":2", "has no type"), (request.parse_accelerator, "2", "write for example l4:2"),
    (request.parse_accelerator, 2, "write its type"), (request.parse_accelerator, "l4:2:3", "no whole number"),
    (request.parse_accelerator, "v5e", "--tpu"), (request.parse_accelerator, "v5litepod-8", "--tpu"), (request.parse_accelerator, "tpu-v6e-slice:4", "--tpu"),
    (request.parse_duration, "2 hours", "write for example"), (request.parse_duration, "h", "write for example"), (request.parse_duration, "30m1h", "write for example"),
    (request.parse_duration, 0, "out of range: 1s to 365d"), (request.parse_duration, "-5m", "write for example"), (request.parse_duration, 1e99, "out of range"),
    (request.parse_duration, float("inf"), "no duration"), (request.parse_duration, True, "no duration"), (request.parse_duration, "1h1h", "no duration"),
    (request.parse_memory, "8Xi", "write for example 16Gi"), (request.parse_memory, 0, "out of range: 64Mi to 32Ti"), (request.parse_memory, "8GB8", "write for example"),
    (request.parse_memory, "8B", "write for example"), (request.parse_memory, float("nan"), "no amount"), (request.parse_memory, "1e3", "no amount"),
    (request.parse_cpu, "four", "write for example 4 or 500m"), (request.parse_cpu, 0, "out of range: 0.1 to 1000"), (request.parse_cpu, "10m", "out of range"), (request.parse_cpu, [], "no number"),
    (request.parse_env, ["A"], "write NAME=value"), (request.parse_env, ["1A=b"], "no name of a variable"), (request.parse_env, {"A": True}, "write 'true' or '1'"),
    (request.parse_env, {"A": None}, "must be text or a number"), (request.parse_env, ["RANK=1"], "set by gke-notebook itself"),
    (request.parse_env, ["GKE_NOTEBOOK_X=1"], "set by gke-notebook itself"), (request.parse_env, 3, "takes NAME=value or a dict"),
    (request.parse_env, {"A": "\0"}, "null character"), (request.parse_env, {"A": "\udc80"}, "Unicode"), (request.parse_env, {"A": "x" * 200_000}, "128 KiB"),
    (request.parse_framework, "trch", "did you mean 'torch'?"), (request.parse_framework, "mxnet", "choose one of: jax, none, tensorflow, torch"), (request.parse_framework, 3, "choose one of"),
    (request.parse_image, "my image", "write REPOSITORY/NAME:TAG"), (request.parse_image, "https://a/b", "leave https:// out"), (request.parse_image, "-x", "is no image"),
    (requirements, "numpy=1.2", "did you mean 'numpy==1.2'?"), (requirements, "gone.txt", "gone.txt: there is no such file"), (requirements, ["not a thing"], "is no requirement"),
    (requirements, 5, "takes names"), (requirements, ["-r other.txt"], "does not travel"), (requirements, "$x", "is no requirement"),
    (request.check_namespace, "Team_A", "no namespace's name"), (request.check_namespace, "", "no namespace's name"), (request.check_namespace, None, "no namespace's name"),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "given_", "expected"), BAD)
def test_bad(parse: Callable[[Any], Any], given_: Any, expected: str) -> None:
    assert expected in refusal(parse, given_)


def test_requirements_file(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# data\nnumpy>=1.20  # arrays\n\njax \\\n  >= 0.4\n--pre\n")
    found = request.parse_requirements("requirements.txt", tmp_path)
    assert [" ".join(line.split()) for line in found] == ["numpy>=1.20", "jax >= 0.4", "--pre"]
    assert request.parse_requirements(Path("requirements.txt"), tmp_path) == found
    assert "did you mean 'requirements.txt'?" in refusal(request.parse_requirements, "requirement.txt", tmp_path)
    (tmp_path / "bad.txt").write_text("numpy\n\n-r more.txt\n")
    assert "bad.txt line 3" in refusal(request.parse_requirements, "bad.txt", tmp_path)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    assert "cannot be read" in refusal(request.parse_requirements, "binary.txt", tmp_path)
    assert "cannot be read" in refusal(request.parse_requirements, "../" + tmp_path.name + "/x/y", Path("\0"))


def test_requirements_without_packaging(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    for good in (
        "numpy",
        "jax[cuda12]>=0.4,<1",
        "a.b-c ~= 2.0",
        "x==1.*; python_version<'3.12'",
        "p @ https://e.org/p.whl",
    ):
        assert requirements([good]) == (good,)
    for bad in ("numpy=1", "not a thing", "$x", ">=1"):
        assert "is no requirement" in refusal(requirements, [bad])


PARSERS: list[Callable[[Any], Any]] = [
    request.check_name, request.check_namespace, count, request.parse_accelerator, request.parse_duration, request.parse_memory,
    request.parse_cpu, request.parse_env, request.parse_framework, requirements,
]  # fmt: skip
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=5), st.complex_numbers(),
    st.text("0123456789.hmsdGMiKBe:-+ l4,=<>[]", max_size=12), st.lists(st.text(max_size=8), max_size=3), st.just(object()),
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers(), st.none()), max_size=3),
)  # fmt: skip


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=150, deadline=None)
@given(value=ANYTHING)
@example("1e999").via("found by thinking")
@example(10**400)
def test_only_one_line_is_ever_raised(parse: Callable[[Any], Any], value: Any) -> None:
    try:
        parse(value)
    except InvalidInput as error:
        assert "\n" not in str(error)
        assert str(error)


@settings(deadline=None)
@given(st.text())
def test_a_suggested_name_is_valid(text: str) -> None:
    found = request.suggest_name(text)
    assert request.check_name(found) == found
    assert request.suggest_name(found) == found


@settings(deadline=None)
@given(st.from_regex(names.DNS_LABEL, fullmatch=True).filter(lambda text: len(text) <= names.MAX_NAME_LENGTH))
def test_a_valid_name_is_its_own_suggestion(text: str) -> None:
    assert request.suggest_name(text) in {text, text.rstrip("-")} or "--" in text
    assert request.check_name(text) == text


@settings(deadline=None)
@given(st.text())
def test_an_owner_is_a_label_value(text: str) -> None:
    import re

    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", request.label_value(text))


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_durations_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    assert (
        request.parse_duration(f"{days}d{hours}h{minutes}m{seconds}s")
        == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    )


@pytest.mark.parametrize("known", catalog.accelerators(), ids=lambda known: known.name)
def test_every_accelerator_of_the_catalog(known: catalog.Accelerator) -> None:
    for number in known.counts:
        assert request.parse_accelerator(f"{known.label}:{number}") == AcceleratorRequest(known.name, number)
    assert request.parse_accelerator(known.name) == AcceleratorRequest(known.name, known.counts[0])
