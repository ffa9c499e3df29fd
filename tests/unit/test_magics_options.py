"""The option layer: whatever is written, the answer is options or one line."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from IPython.core.error import UsageError

from gke_notebook.magics.options import HelpWanted, parse, seconds
from gke_notebook.magics.table import MAGICS, logs_parser, train_parser

VARIABLES: dict[str, Any] = {
    "nodes": 2,
    "lr": 0.1,
    "name": "digits",
    "path": Path("a b/c"),
    "cfg": SimpleNamespace(lr=3, deep=SimpleNamespace(x="y")),
    "settings": {"A": 1, "B": "x=y"},
    "files": ["a.txt", "b c.txt"],
    "flag": True,
    "nothing": None,
    "wild": "--replace",
    "empty": [],
}
PARSERS = {magic.name: magic.parser() for magic in MAGICS}


def train(line: str) -> argparse.Namespace:
    return parse(train_parser(), line, VARIABLES)


def error(line: str) -> str:
    with pytest.raises(UsageError) as caught:
        train(line)
    assert type(caught.value) is UsageError
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_option_of_train() -> None:
    options = train(
        "digits --gpu l4:2 --nodes 2 --procs-per-node=4 --framework jax --env A=1 --env B='x y' "
        "--requirements jax,numpy --include data --include 'a b' --image img:1 --namespace team --cpu 500m "
        "--memory 16Gi --max-duration 30m --max-retries 1 --dry-run --no-wait --replace --queue-anyway "
        "--tpu v5e:4x4 --spot --flex --reservation ours --zone us-central1-a --machine-type g2-standard-8 "
        "--compute-class gpus"
    )
    assert vars(options) == {
        "name": "digits", "gpu": "l4:2", "nodes": 2, "procs_per_node": 4, "framework": "jax",
        "env": [("A", "1"), ("B", "x y")], "requirements": "jax,numpy", "include": ["data", "a b"], "image": "img:1",
        "namespace": "team", "cpu": "500m", "memory": "16Gi", "max_duration": "30m", "max_retries": 1, "dry_run": True,
        "wait": False, "replace": True, "queue_anyway": True, "fallback": None, "what_if": False, "file": None,
        "tpu": "v5e:4x4", "spot": True, "flex": True, "reservation": "ours", "zone": "us-central1-a",
        "machine_type": "g2-standard-8", "compute_class": "gpus",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("digits --nods 2", "%%gke_train: no option --nods; did you mean '--nodes'?"),
        ("digits --node 2", "no option --node; did you mean '--nodes'?"),  # no abbreviations
        ("digits --nodes", "--nodes needs a value"),
        ("digits --nodes --gpu l4", "--nodes needs a value"),
        ("digits --nodes two", "--nodes: 'two' is no whole number"),
        ("digits --nodes 1e9", "--nodes: '1e9' is no whole number"),
        ("digits --nodes 2.0", "--nodes: '2.0' is no whole number"),
        ("", "NAME is missing"),
        ("--nodes 2", "NAME is missing"),
        ("digits other", "what is 'other'?"),
        ("digits --env A", "--env: 'A' is no KEY=VALUE"),
        ("digits --env =1", "--env: '=1' is no KEY=VALUE"),
        ("digits --dry-run=yes", "--dry-run takes no value"),
        ("digits --wait --no-wait", "exclude each other"),
        ("digits -n 2", "no option -n; options start with two dashes"),
        ("digits -- x", "'--' means nothing here"),
        ("digits 'open", "a quotation mark is not closed in: digits 'open"),
        ("digits \\", "it ends in a backslash"),
        ("digits --nodes $node", "no variable 'node' for $node; did you mean 'nodes'?"),
        ("digits --nodes '${n o}'", "names no variable"),
        ("digits --nodes ${}", "names no variable"),
        ("digits --nodes ${nodes", "names no variable"),
        ("digits --image $nothing", "$nothing is a NoneType; a string or a number is wanted"),
        ("digits --image $flag", "$flag is a bool"),
        ("digits --image $settings", "$settings is a dict"),
        ("digits --image x-$files", "$files is a list"),
        ("digits --image $cfg.missing", "$cfg.missing: AttributeError"),
        ("digits --include $empty", "$empty is empty"),
        ("digits $wild", "$wild is '--replace', which reads like an option"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_to_write(line: str, said: str) -> None:
    assert said in error(line)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("$name", "name", "digits"),
        ("$name-$nodes", "name", "digits-2"),
        ("${name}s", "name", "digitss"),
        ("a --nodes $nodes", "nodes", 2),
        ("a --nodes=$nodes", "nodes", 2),
        ("a --nodes -1", "nodes", -1),  # the session says why not
        ("a --image $path", "image", "a b/c"),
        ("a --image x/$cfg.lr/$cfg.deep.x", "image", "x/3/y"),
        ("a --image $$HOME", "image", "$HOME"),
        ("a --image 5$", "image", "5$"),
        ("a --image $5", "image", "$5"),
        ("a --image $wild", "image", "--replace"),
        ("a --image --x", "image", None),
        ("a --env LR=$lr", "env", [("LR", "0.1")]),
        ("a --env E=-1", "env", [("E", "-1")]),
        ("a --env $settings --env C=3", "env", [("A", "1"), ("B", "x=y"), ("C", "3")]),
        ("a --include $files", "include", ["a.txt", "b c.txt"]),
        ("a --include=$files", "include", ["a.txt", "b c.txt"]),
        ("a --env Q='it''s {x}'", "env", [("Q", "its {x}")]),
        ("a --gpu l4 ", "gpu", "l4"),
    ],
)
def test_values(line: str, field: str, value: object) -> None:
    if value is None:
        assert "no option --x" in error(line)
    else:
        assert getattr(train(line), field) == value


def test_a_value_of_a_variable_never_becomes_an_option() -> None:
    options = train("a --image $wild")
    assert (options.image, options.replace) == ("--replace", False)


def test_numpy_numbers_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert parse(train_parser(), "a --nodes $n", {"n": numpy.int64(3)}).nodes == 3


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "10 m", "-5", "m", "1d", "inf", "nan", "1e9"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


@pytest.mark.parametrize("line", ["--help", "digits --help", "-h", "--nods --help"])
def test_help_comes_before_any_error(line: str) -> None:
    with pytest.raises(HelpWanted):
        train(line)


def test_a_rank_below_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="--rank: '-1' is below 0"):
        parse(logs_parser(), "digits --rank -1", {})


WORDS = sorted({word for parser in PARSERS.values() for word in parser.words()})
tokens = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(
        ["digits", "2", "-1", "l4:2", "A=1", "$nodes", "$settings", "$files", "$nope", "${", "$$", "=", "-", "--"]
    ),
    st.builds(lambda word, value: f"{word}={value}", st.sampled_from(WORDS), st.text(max_size=5)),
    st.text(max_size=8),
)


@given(st.sampled_from(sorted(PARSERS)), st.lists(tokens, max_size=8).map(" ".join))
@example("gke_train", "a --env $cfg")
@example("gke_train", "\x00 --nodes ٣")
@example("gke_wait", "a --timeout ²")
@settings(max_examples=600, deadline=None)
def test_any_line_gives_options_or_a_usage_error_of_one_line(name: str, line: str) -> None:
    found: object
    try:
        found = parse(PARSERS[name], line, VARIABLES)
    except (HelpWanted, UsageError) as caught:
        found = caught
    if isinstance(found, argparse.Namespace):
        assert isinstance(getattr(found, "nodes", 0) or 0, int)
    elif not isinstance(found, HelpWanted):
        assert type(found) is UsageError
        assert len(str(found).splitlines()) == 1
        assert f"%{name}: " in str(found)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="$\x00"), max_size=20))
def test_a_quoted_value_arrives_as_it_was_written(value: str) -> None:
    import shlex

    assert train(f"a --image={shlex.quote(value)}").image == value
    assert parse(train_parser(), "a --env V=$v", {"v": value}).env == [("V", value)]
