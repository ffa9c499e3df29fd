"""`%gke_nodepool` in a real shell: words, completion, waiting and interrupting; the GKE API is the sandbox's own."""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from gke_notebook.errors import InvalidInput, StillRunning
from gke_notebook.magics import completion, nodepool
from gke_notebook.magics.nodepool_parser import ACTIONS, nodepool_parser
from gke_notebook.magics.options import parse
from gke_notebook.session import operation as operations
from gke_notebook.session.node_pools import NodePools
from tests.support.fake_session import install
from tests.support.google import Google, google
from tests.support.pool_session import PoolSession


class Cloud:
    """The sandbox's Google Cloud in a thread of its own, so that a magic may block."""

    def __init__(self, factor: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._serving = google(factor=factor)
        self.google: Google = self._do(self._serving.__aenter__())

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._do(self._serving.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Session(PoolSession):
    context = "sandbox"

    def node_pools(self, say: Any = None) -> NodePools:
        return NodePools(self, say)  # type: ignore[arg-type]


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    found = Cloud(getattr(request, "param", 2000.0))
    install(Session(found.google.url))  # type: ignore[arg-type]
    yield found
    install(None)
    found.close()


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    found = InteractiveShell.instance()
    found.run_line_magic("load_ext", "gke_notebook")
    yield found
    found.run_line_magic("unload_ext", "gke_notebook")
    found.history_manager.end_session()
    found.restore_sys_module_state()
    InteractiveShell.clear_instance()


CREATE = "create mine --gpu l4:1 --nodes 2 --zone us-central1-a"


def test_create_list_extend_resize_delete(
    shell: InteractiveShell, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("gke_nodepool", f"{CREATE} --lease 2h --label team=vision --taint a=b:NoSchedule")
    out = capsys.readouterr().out
    assert "NODE POOL  mine" in out
    assert "1.41 USD/h at first" in out
    assert "creating: done, 2 of 2 nodes" in out
    config = cloud.google.fleet.state.pools["mine"].spec["config"]
    assert config["labels"]["team"] == "vision"
    assert [taint["key"] for taint in config["taints"]] == ["a", "nvidia.com/gpu"]
    frame = shell.run_line_magic("gke_nodepool", "list")
    assert frame.set_index("name").loc["mine", "nodes"] == 2
    assert "NODE POOLS" in frame._repr_mimebundle_()["text/plain"]
    shell.run_line_magic("gke_nodepool", "extend mine --lease 5h")
    assert "4 h 59 min left" in capsys.readouterr().out
    shell.run_line_magic("gke_nodepool", "resize mine --nodes 1")
    assert "resizing: done, 1 of 1 node" in capsys.readouterr().out
    shell.run_line_magic("gke_nodepool", "delete mine")
    assert "deleting: done" in capsys.readouterr().out
    assert "mine" not in cloud.google.fleet.state.pools


def test_a_dry_run_begins_nothing(shell: InteractiveShell, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_line_magic("gke_nodepool", f"{CREATE} --no-secure-boot --no-gvnic --dry-run")
    out = capsys.readouterr().out
    assert "enableSecureBoot: false" in out
    assert not cloud.google.fleet.state.operations


def test_expired_pools_are_deleted_together(
    shell: InteractiveShell, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("gke_nodepool", f"{CREATE} --lease 1s")
    shell.run_line_magic("gke_nodepool", "create other --machine-type e2-standard-8 --max 1")
    threading.Event().wait(1.1)
    assert "OVER since" in shell.run_line_magic("gke_nodepool", "list --orphans")._repr_mimebundle_()["text/plain"]
    shell.run_line_magic("gke_nodepool", "delete --expired")
    assert "NODE POOL mine  deleting: done" in capsys.readouterr().out
    assert {"other"} == {"mine", "other"} & cloud.google.fleet.state.pools.keys()
    shell.run_line_magic("gke_nodepool", "delete --expired")
    assert "no node pool's lease is over" in capsys.readouterr().out


@pytest.mark.parametrize("cloud", [100.0], indirect=True)
def test_an_interrupt_leaves_the_operation_going_on_and_says_how_to_follow(
    shell: InteractiveShell, cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(operations, "time", SimpleNamespace(sleep=interrupt, monotonic=lambda: 0.0))
        with pytest.raises(KeyboardInterrupt) as interrupted:
            shell.run_line_magic("gke_nodepool", CREATE)
    said = interrupted.value._render_traceback_()[0]  # type: ignore[attr-defined]
    assert "it goes on: %gke_nodepool wait mine follows it" in said
    assert "interrupted; the operation goes on" in capsys.readouterr().out
    with pytest.raises(StillRunning):
        shell.run_line_magic("gke_nodepool", "wait mine --timeout 0")
    shell.run_line_magic("gke_nodepool", "wait mine --timeout 60")
    assert "creating: done, 2 of 2 nodes" in capsys.readouterr().out


@pytest.mark.parametrize("cloud", [20.0], indirect=True)
def test_no_wait_then_cancel(shell: InteractiveShell, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_line_magic("gke_nodepool", f"{CREATE} --no-wait")
    assert "it goes on: %gke_nodepool wait mine follows it" in capsys.readouterr().out
    shell.run_line_magic("gke_nodepool", "cancel mine")
    assert "asked to stop" in capsys.readouterr().out
    with pytest.raises(UsageError, match="cancelled"):
        shell.run_line_magic("gke_nodepool", "wait mine")
    shell.run_line_magic("gke_nodepool", "cancel mine")
    assert "nothing is going on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("creat mine", "did you mean 'create'?"),
        ("create --gpu l4", "NAME is missing"),
        ("delete", "or --expired"),
        ("delete x --expired", "not both"),
        ("list --force", "--force is for delete"),
        ("list mine", "%gke_nodepool explain mine"),
        ("extend mine --nodes 3", "--nodes is for create, resize"),
        ("resize mine", "--nodes N, or the limits"),
        ("create mine", "--gpu TYPE:COUNT"),
        ("create mine --gpu l4:3", "the nearest is l4:4"),
        ("create mine --gpu l4 --label team", "is no KEY=VALUE"),
        ("create mine --gpux l4", "did you mean '--gpu'?"),
        ("delete l4-pol", "did you mean 'l4-pool'?"),
        ("explain l4-pol", "did you mean 'l4-pool'?"),
    ],
)
def test_mistakes_are_one_line_and_begin_nothing(shell: InteractiveShell, cloud: Cloud, line: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        shell.run_line_magic("gke_nodepool", line)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not cloud.google.fleet.state.operations


def test_every_option_belongs_to_an_action() -> None:
    words = {action.dest for action in nodepool_parser()._actions} - {"help", "action", "name"}
    assert words == set().union(*nodepool._ALLOWED.values())
    assert set(nodepool._ALLOWED) == set(ACTIONS)


def test_an_option_of_another_action_is_refused_by_name() -> None:
    options: argparse.Namespace = parse(nodepool_parser(), "wait mine --gpu l4", {})
    with pytest.raises(InvalidInput, match="--gpu is for create"):
        nodepool._checked(options)


def test_completion_knows_actions_names_and_values(shell: InteractiveShell) -> None:
    parser = nodepool_parser()
    assert completion.candidates(parser, [], "", shell) == list(ACTIONS)
    assert completion.candidates(parser, ["delete"], "", shell) == []  # not connected: nothing is asked
    assert completion.candidates(parser, ["create", "mine"], "", shell) == []
    assert "l4" in completion.candidates(parser, ["create", "mine", "--gpu"], "", shell)
    assert "--lease" in completion.candidates(parser, ["create", "mine"], "--", shell)
