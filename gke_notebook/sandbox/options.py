"""What a sandbox was started with; passed from the command to its processes and kept across a restart."""

from __future__ import annotations

import os
import shutil
import sys

import msgspec

from gke_notebook.errors import InvalidInput


class Options(msgspec.Struct, frozen=True):
    """How a sandbox was asked to be.

    `runtimes` are pairs of an image pattern and the interpreter that stands for such images;
    `simulated_nodes` is how many nodes without processes to add; `port` is the API server's, 0 for any free one;
    `control_plane` is the folder of a real control plane's programs, empty for the embedded one; `clock` is how many
    times faster than real ones the delays of its GKE are, 0 for what it was before, or 20.
    """

    runtimes: tuple[tuple[str, str], ...] = ()
    simulated_nodes: int = 0
    port: int = 0
    control_plane: str = ""
    clock: float = 0.0


def parse_runtime(text: str) -> tuple[str, str]:
    """Read ``PATTERN=INTERPRETER``.

    Args:
        text: for example ``pytorch/*=/usr/bin/python3``; the pattern is a shell's.

    Raises:
        InvalidInput: the form is wrong, or the interpreter cannot be executed.

    Example:
        >>> parse_runtime("pytorch/*=/bin/sh")
        ('pytorch/*', '/bin/sh')
    """
    pattern, equals, interpreter = text.partition("=")
    if not equals or not pattern or not interpreter:
        raise InvalidInput(f"--runtime {text!r}: write PATTERN=INTERPRETER, for example 'pytorch/*=/usr/bin/python3'")
    found = shutil.which(os.path.expanduser(interpreter))  # noqa: PTH111 - which takes a string
    if found is None:
        raise InvalidInput(
            f"--runtime {text!r}: {interpreter} is no executable here; this interpreter is {sys.executable}"
        )
    return pattern, found


class Ports(msgspec.Struct, frozen=True):
    """The loopback ports of the sandbox's servers."""

    kubernetes: int = 0
    gke: int = 0
    prometheus: int = 0


class Running(msgspec.Struct, frozen=True):
    """A sandbox that runs: what `sandbox status --json` prints.

    `ready` is false while it still starts; `pid` is the main process. `components` are the programs of a real control
    plane, and `reports` say which of them ended by themselves and were started again. No token is in it.
    """

    state: str
    pid: int
    ready: bool
    kubernetes: str
    gke: str
    prometheus: str
    kubeconfig: str
    token_file: str
    home: str
    started: float
    version: str
    options: Options
    components: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()


class AgentSettings(msgspec.Struct, frozen=True):
    """What the main process tells the agents on their standard input: it holds tokens, so it is never an argument.

    `controllers` says whether to run ours, which a real control plane replaces; `client_authority` is the PEM file of
    the authority whose client certificates the node agent accepts; `gke` is the address of the sandbox's GKE, whose
    machines the nodes are.
    """

    server: str
    token: str
    authority: str
    kubelet_token: str
    certificate: str
    key: str
    directory: str
    options: Options
    controllers: bool = True
    client_authority: str = ""
    gke: str = ""
