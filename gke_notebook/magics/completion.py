"""Completing a magic's line: option words and the values that are known; never waits for a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gke_notebook.magics.options import Parser
from gke_notebook.magics.table import MAGICS

_PATHS = 200  # entries of a folder that are offered


def complete(shell: Any, event: Any) -> list[str]:
    """Give the completions of a magic's line.

    Args:
        shell: the interactive shell.
        event: IPython's: the line, the text up to the cursor and the symbol that is completed.
    """
    until = event.text_until_cursor.split("\n")[-1]
    command = event.command.lstrip("%")
    magic = next((one for one in MAGICS if one.name == command), None)
    if magic is None:
        return []
    words = until.split(" ")
    fragment = words[-1]
    found = candidates(magic.parser(), words[1:-1], fragment, shell)
    # IPython completes only what follows the last delimiter (":", "=", "@" ...): give it that part.
    symbol = event.symbol if fragment.endswith(event.symbol) else ""
    kept = len(fragment) - len(symbol)
    return [word[kept:] for word in found if word.startswith(fragment)]


def candidates(parser: Parser, before: Sequence[str], fragment: str, shell: Any) -> list[str]:
    """Give the words that may stand at the cursor.

    Args:
        parser: the magic's parser.
        before: the words between the magic's name and the cursor's.
        fragment: what is written of the cursor's word.
        shell: the interactive shell.
    """
    before = [word for word in before if word]
    if fragment.startswith("$"):
        return [f"${name}" for name in shell.user_ns if not name.startswith("_")]
    word, equals, _ = fragment.partition("=")
    if equals and parser.option(word) is not None:
        return [f"{word}={value}" for value in _values(word.lstrip("-"), fragment[len(word) + 1 :], shell)]
    option = parser.option(before[-1]) if before else None
    if option is not None and option.nargs != 0:
        return _values(option.option_strings[0].lstrip("-"), fragment, shell)
    if fragment.startswith("-"):
        used = {one.split("=")[0] for one in before}
        return [
            one
            for one in parser.words()
            if one.startswith("--") and (one not in used or type(parser.option(one)).__name__ == "_AppendAction")
        ]
    positional, given = parser.positionals(), _positionals_given(parser, before)
    if positional and (given < len(positional) or positional[-1].nargs == "*"):
        which = positional[min(given, len(positional) - 1)]
        return _values(which.dest + parser.prog.lstrip("%").removeprefix("gke"), fragment, shell)
    return []


def _positionals_given(parser: Parser, before: Sequence[str]) -> int:
    option = None
    given = 0
    for word in before:
        if word.startswith("-"):
            found = parser.option(word)
            option = found if found is not None and found.nargs != 0 else None
        elif option is not None:
            option = None
        else:
            given += 1
    return given


def _values(what: str, fragment: str, shell: Any) -> list[str]:
    if what == "gpu":
        return _accelerators(fragment)
    if what == "tpu":
        return _slices(fragment)
    if what == "zone":
        return _zones()
    if what == "machine-type":
        return _machine_types()
    if what == "words_accelerators":
        return _kinds()
    if what == "region":
        return _regions()
    if what == "sort":
        from gke_notebook.catalog.search import SORTS

        return list(SORTS)
    if what == "framework":
        from gke_notebook.specs import FRAMEWORKS

        return list(FRAMEWORKS)
    if what in {"include", "file", "requirements"}:
        return paths(fragment, (".py",) if what == "file" else (".txt",) if what == "requirements" else ())
    if what == "target_connect":
        return ["sandbox", *contexts()]
    if what == "action_nodepool":
        from gke_notebook.magics.nodepool_parser import ACTIONS

        return list(ACTIONS)
    if what == "name_nodepool":
        return pool_names()
    if what in {"name_logs", "name_wait", "name_cancel", "name_quota"}:
        return job_names(shell)
    return []


def _accelerators(fragment: str) -> list[str]:
    from gke_notebook import catalog

    kind, colon, _ = fragment.partition(":")
    names = [one.name for one in catalog.accelerators()]
    if colon:
        return [f"{kind}:{number}" for number in (1, 2, 4, 8)] if kind in names else []
    return names


def _slices(fragment: str) -> list[str]:
    from gke_notebook import catalog

    kind, colon, _ = fragment.partition(":")
    if not colon:
        return [f"{name}:" for name in catalog.tpu_names()]
    if kind not in catalog.tpu_names():
        return []
    return [f"{kind}:{shape.text}" for shape in catalog.topologies(catalog.tpu(kind))]


def _zones() -> list[str]:
    from gke_notebook import catalog

    return sorted({zone for offer in catalog.offers() for zone in offer.zones})


def _machine_types() -> list[str]:
    from gke_notebook import catalog

    return [machine.name for machine in catalog.machine_types()]


def _kinds() -> list[str]:
    from gke_notebook import catalog

    return [*(one.name for one in catalog.accelerators()), *catalog.tpu_names(), "gpu", "tpu"]


def _regions() -> list[str]:
    from gke_notebook import catalog

    return sorted({offer.region for offer in catalog.offers() if offer.region})


def contexts() -> list[str]:
    """Give the contexts of the kubeconfig files; nothing when they cannot be read."""
    import yaml

    places = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    found: list[str] = []
    for place in places.split(os.pathsep):
        try:
            loaded = yaml.safe_load(Path(place).read_text(encoding="utf-8")) if place else None
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        listed = loaded.get("contexts") if isinstance(loaded, dict) else None
        for entry in listed if isinstance(listed, list) else ():
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str) and name not in found:
                found.append(name)
    return found


def job_names(shell: Any) -> list[str]:
    """Give the names of jobs that are at hand: those the session has seen and those bound to a variable.

    Args:
        shell: the interactive shell.
    """
    import sys

    from gke_notebook.errors import NotConnected

    names: list[str] = []
    current = sys.modules.get("gke_notebook.session.current")
    if current is not None:
        try:
            names += current.session().known_jobs()
        except NotConnected:
            return []
    job = sys.modules.get("gke_notebook.session.job")
    if job is not None:
        names += [value.name for value in list(shell.user_ns.values()) if isinstance(value, job.Job)]
    return list(dict.fromkeys(names))


def pool_names() -> list[str]:
    """Give the names of the node pools that are at hand: those of the nodes that the session has seen."""
    import sys

    from gke_notebook.errors import NotConnected

    current = sys.modules.get("gke_notebook.session.current")
    if current is None:
        return []
    from gke_notebook.session.node_pools import known_names

    try:
        return known_names(current.session())
    except NotConnected:
        return []


def paths(fragment: str, suffixes: Iterable[str] = ()) -> list[str]:
    """Give the files and folders that a path may go on with.

    Args:
        fragment: what is written of it.
        suffixes: the files that are offered, all when empty.
    """
    folder, _, _ = fragment.rpartition("/")
    root = Path(folder or ("/" if fragment.startswith("/") else ".")).expanduser()
    wanted = tuple(suffixes)
    try:
        entries = sorted(root.iterdir(), key=lambda entry: entry.name)[:_PATHS]
    except OSError:
        return []
    prefix = f"{folder}/" if folder or fragment.startswith("/") else ""
    return [
        f"{prefix}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if not entry.name.startswith(".") and (entry.is_dir() or not wanted or entry.suffix in wanted)
    ]
