from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.node.paths import PathMap

MAP = PathMap({"/data": "/pods/7/data", "/data/in": "/pods/7/in", "/gke-notebook/program/": "/pods/7/program"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "/pods/7/data"),
        ("/data/x.csv", "/pods/7/data/x.csv"),
        ("/data/in/x", "/pods/7/in/x"),
        ("/data/input", "/pods/7/data/input"),
        ("python3 /gke-notebook/program/run.py", "python3 /pods/7/program/run.py"),
        ("--in=/data:/data/in", "--in=/pods/7/data:/pods/7/in"),
        ("cd /data && ls '/data'", "cd /pods/7/data && ls '/pods/7/data'"),
        ("file:///data/x", "file:///pods/7/data/x"),
        ('{"path": "/data"}', '{"path": "/pods/7/data"}'),
    ],
)
def test_mounted_paths_are_rewritten(text: str, expected: str) -> None:
    assert MAP.rewrite(text) == expected


@pytest.mark.parametrize(
    "text",
    ["/data2", "/database", "/data-old", "/data.txt", "/mnt/data", "gs://bucket/data", "http://data/data", "data",
     "$HOME/data", "${HOME}/data", "$(pwd)/data", "../data", "~/data", "a/data"],
)  # fmt: skip
def test_other_paths_are_left_alone(text: str) -> None:
    assert MAP.rewrite(text) == text


def test_resolve() -> None:
    assert MAP.resolve("/data/in/a/b") == "/pods/7/in/a/b"
    assert MAP.resolve("/data") == "/pods/7/data"
    assert MAP.resolve("/database") is None
    assert PathMap({"/": "/x"}).resolve("/data") is None


@given(st.text(alphabet=string.ascii_letters + "/ =:.-_", max_size=40))
def test_text_without_the_path_is_kept(text: str) -> None:
    assert PathMap({"/no+such": "/x"}).rewrite(text) == text


@given(st.lists(st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_every_path_below_a_mount_resolves_as_it_is_rewritten(parts: list[str]) -> None:
    path = "/data/" + "/".join(parts)
    assert MAP.rewrite(path) == MAP.resolve(path)
