"""Files that travel: where they lie in the job, what is left out, what is refused."""

# ruff: noqa: E501 - a table reads better with a case on a line

from __future__ import annotations

from pathlib import Path

import pytest

from gke_notebook.errors import InvalidInput
from gke_notebook.program.includes import COUNT_LIMIT, FILES_LIMIT, read_includes


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "notebooks"
    for name in (
        "a.py", "data/one.csv", "data/two.csv", "data/deep/three.txt", "pkg/__init__.py", "pkg/m.py",
        "pkg/__pycache__/m.pyc", "pkg/.git/config", "pkg/.ipynb_checkpoints/m.py", "pkg/x.pyc", "../shared/s.py", "../other/a.py",
    ):  # fmt: skip
        file = base / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return base


def paths(base: Path, *include: str) -> list[str]:
    return [file.path for file in read_includes(include, base)]


def test_places(base: Path) -> None:
    assert paths(base, "a.py") == ["a.py"]
    assert paths(base, "./data/../a.py") == ["a.py"]
    assert paths(base, "data") == paths(base, "data/") == ["data/deep/three.txt", "data/one.csv", "data/two.csv"]
    assert paths(base, "data/one.csv", "data") == paths(base, "data")
    assert paths(base, str(base / "data/one.csv")) == ["data/one.csv"]
    assert paths(base, "../shared/s.py") == ["s.py"]
    assert paths(base, "../shared") == ["shared/s.py"]
    assert paths(base, "pkg") == ["pkg/__init__.py", "pkg/m.py"]
    assert "pkg/m.py" in paths(base, ".")


def test_patterns(base: Path) -> None:
    assert paths(base, "data/*.csv") == ["data/one.csv", "data/two.csv"]
    assert paths(base, "**/*.txt") == ["data/deep/three.txt"]
    assert paths(base, "pkg/*") == ["pkg/__init__.py", "pkg/m.py"]
    (base / "odd[1].txt").write_text("x")
    assert paths(base, "odd[1].txt") == ["odd[1].txt"]


def test_content_and_mode(base: Path) -> None:
    (base / "run.sh").write_bytes(b"\x00\xff")
    (base / "run.sh").chmod(0o700)
    one, two = read_includes(["run.sh", "a.py"], base)
    assert (one.path, one.mode) == ("a.py", 0o644)
    assert (two.path, two.mode, two.content) == ("run.sh", 0o755, b"\x00\xff")


def test_links(base: Path) -> None:
    (base / "data/in.csv").symlink_to(base / "data/one.csv")
    (base / "data/out.py").symlink_to(base / "a.py")
    (base / "data/folder").symlink_to(base / "pkg")
    (base / "data/nowhere").symlink_to(base / "gone")
    assert paths(base, "data") == ["data/deep/three.txt", "data/in.csv", "data/one.csv", "data/two.csv"]
    assert paths(base, "data/out.py") == ["data/out.py"]  # named outright


REFUSED = {
    "data/oen.csv": "there is no such file or folder; did you mean data/one.csv?",
    "gone": "; . holds: a.py, data, pkg",
    "gone/a.csv": "there is no folder gone either",
    "data/*.json": "no file matches the pattern",
    "": "needs the path",
    "a\0b": "needs the path",
}


@pytest.mark.parametrize("include", REFUSED)
def test_refused(include: str, base: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_includes([include], base)
    assert REFUSED[include] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_link_that_is_named(base: Path) -> None:
    (base / "nowhere").symlink_to(base / "gone")
    with pytest.raises(InvalidInput, match="the link leads nowhere"):
        read_includes(["nowhere"], base)


def test_two_files_for_one_place(base: Path) -> None:
    with pytest.raises(InvalidInput, match=r"would both be a\.py"):
        read_includes(["a.py", "../other/a.py"], base)


def test_too_large_names_the_largest(base: Path) -> None:
    for number in range(7):
        with (base / f"data/big{number}.bin").open("wb") as file:
            file.truncate(FILES_LIMIT // 4 + number)
    with pytest.raises(InvalidInput) as caught:
        read_includes(["data"], base)
    text = str(caught.value)
    assert "14.7 MB" in text
    assert text.index("data/big6.bin 2.1 MB") < text.index("data/big5.bin") < text.index("data/big2.bin")
    assert "big1" not in text


def test_too_many(base: Path) -> None:
    (base / "many").mkdir()
    for number in range(COUNT_LIMIT + 1):
        (base / "many" / str(number)).touch()
    with pytest.raises(InvalidInput, match="2001 files"):
        read_includes(["many"], base)


def test_unreadable(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InvalidInput, match="Permission denied"):
        read_includes(["a.py"], base)
