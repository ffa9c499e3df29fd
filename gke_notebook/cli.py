"""`gke-notebook`: the command beside the magics."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from gke_notebook._version import __version__
from gke_notebook.errors import GkeNotebookError
from gke_notebook.prices import add_parsers as add_prices
from gke_notebook.prices import run as run_prices
from gke_notebook.sandbox import drills


def build_parser() -> argparse.ArgumentParser:
    """Make the parser; docs/cli.md is generated from it."""
    parser = argparse.ArgumentParser(
        prog="gke-notebook", description="Train on Google Kubernetes Engine from a notebook."
    )
    parser.add_argument("--version", action="version", version=f"gke-notebook {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sandbox = commands.add_parser("sandbox", help="an embedded GKE on this machine, for work without an account")
    verbs = sandbox.add_subparsers(dest="verb", required=True, metavar="VERB")

    up = verbs.add_parser("up", help="start the sandbox, or find the one that runs")
    up.add_argument(
        "--runtime", action="append", default=[], metavar="PATTERN=INTERPRETER",
        help="run containers whose image matches PATTERN with this Python; repeatable",
    )  # fmt: skip
    up.add_argument(
        "--simulated-nodes", type=int, default=0, metavar="N",
        help="add N nodes whose pods only pretend to run, for tests of scale",
    )  # fmt: skip
    up.add_argument("--port", type=int, default=0, metavar="PORT", help="the API server's port (default: any free one)")
    up.add_argument(
        "--control-plane", default="", metavar="DIR",
        help="run a real control plane, whose programs lie in DIR, in place of the embedded one (default: the folder "
        "named by KUBEBUILDER_ASSETS, if it is set); `make control-plane` builds one",
    )  # fmt: skip
    up.add_argument(
        "--clock", type=float, default=0.0, metavar="N",
        help="let its GKE create nodes N times as fast as the real one (default: as before, or 20)",
    )  # fmt: skip
    up.add_argument("--json", action="store_true", help="print the status as JSON")

    down = verbs.add_parser("down", help="end the sandbox and all its processes, and remove its files")
    down.add_argument("--keep", action="store_true", help="keep the objects, so that the next `up` finds them again")

    show = verbs.add_parser("status", help="say what runs and where; exit code 3 when nothing does")
    show.add_argument("--json", action="store_true", help="print JSON: the endpoints, the kubeconfig file, the options")

    clock = verbs.add_parser("clock", help="say, or set, how much faster than the real one its GKE creates nodes")
    clock.add_argument("factor", type=float, nargs="?", default=None, metavar="N", help="the new factor, 0.1 to 10000")

    drills.add_parser(verbs)

    verbs.add_parser(
        "kubeconfig", help="print the path of the kubeconfig file: export KUBECONFIG=$(gke-notebook sandbox kubeconfig)"
    )
    add_prices(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments, the process's own by default.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 3 no sandbox runs.
    """
    arguments = build_parser().parse_args(argv)
    try:
        return run_prices(arguments) if arguments.command == "prices" else _sandbox(arguments)
    except GkeNotebookError as error:
        print(f"gke-notebook: {error}", file=sys.stderr)
        return 1


def _sandbox(arguments: argparse.Namespace) -> int:
    import msgspec

    from gke_notebook.sandbox import control
    from gke_notebook.sandbox.home import Home
    from gke_notebook.sandbox.options import Options, parse_runtime

    home = Home.find()
    if arguments.verb == "up":
        if not 0 <= arguments.simulated_nodes <= 5000:
            print("gke-notebook: --simulated-nodes must be between 0 and 5000", file=sys.stderr)
            return 2
        if arguments.clock and not 0.1 <= arguments.clock <= 10_000:
            print("gke-notebook: --clock must be between 0.1 and 10000", file=sys.stderr)
            return 2
        options = Options(
            runtimes=tuple(parse_runtime(text) for text in arguments.runtime),
            simulated_nodes=arguments.simulated_nodes,
            port=arguments.port,
            control_plane=str(Path(arguments.control_plane).expanduser().absolute()) if arguments.control_plane else "",
            clock=arguments.clock,
        )
        running, started = control.up(home, options)
        if arguments.json:
            print(msgspec.json.encode(running).decode())
        else:
            print(f"the sandbox is up{'' if started else ' already'}: {running.kubernetes}")
            print(f"export KUBECONFIG={running.kubeconfig}")
        return 0
    if arguments.verb == "down":
        print("the sandbox is down" if control.down(home, keep=arguments.keep) else "no sandbox was up")
        return 0
    found = control.status(home)
    if found is None:
        if arguments.verb == "status" and arguments.json:
            print('{"state":"stopped"}')
        else:
            print("no sandbox is up; start one with `gke-notebook sandbox up`", file=sys.stderr)
        return 3
    if arguments.verb == "kubeconfig":
        print(found.kubeconfig)
    elif arguments.verb == "drill":
        print("\n".join(drills.run(arguments, functools.partial(control.own_api, found))))
    elif arguments.verb == "clock":
        print(f"{control.clock(found, arguments.factor):g}")
    elif arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        print(f"state       {'running' if found.ready else 'starting'} (process {found.pid})")
        print(f"kubernetes  {found.kubernetes}")
        folder = found.options.control_plane
        print(f"            real, from {folder}: {', '.join(found.components)}" if folder else "            embedded")
        print(f"gke         {found.gke}")
        print(f"prometheus  {found.prometheus}")
        print(f"kubeconfig  {found.kubeconfig}")
        print(f"home        {found.home}")
        for report in found.reports:
            print("restarted   " + report.replace("\n", "\n            "))
    return 0


if __name__ == "__main__":
    sys.exit(main())
