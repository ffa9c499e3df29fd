"""The background loop: results, timeouts, interrupts, and an end without leftovers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from gke_notebook.cluster.loop import BackgroundLoop, background


@pytest.fixture
def loop():
    loop = BackgroundLoop()
    yield loop
    loop.stop()


async def boom():
    raise ValueError("boom")


def test_it_runs_in_a_daemon_thread_of_its_own(loop):
    async def where():
        return threading.current_thread()

    thread = loop.run(where())
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_errors_come_through(loop):
    with pytest.raises(ValueError, match="boom"):
        loop.run(boom())
    with pytest.raises(ValueError, match="boom"):
        loop.submit(boom()).result(10)


def test_a_timeout_cancels_the_coroutine(loop):
    cancelled = threading.Event()

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        loop.run(wait(), timeout=0.05)
    assert cancelled.wait(10)


def test_a_timeout_error_of_the_coroutine_is_its_own(loop):
    async def own():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        loop.run(own(), timeout=10)


def test_an_interrupt_reaches_the_waiting_thread_and_cancels(loop):
    cancelled = threading.Event()

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async def interrupt():
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    loop.submit(interrupt())
    with pytest.raises(KeyboardInterrupt):
        loop.run(wait())
    assert cancelled.wait(10)
    assert loop.run(asyncio.sleep(0, "still works")) == "still works"


def test_run_on_its_own_thread_is_refused(loop):
    async def inner():
        loop.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="own thread"):
        loop.run(inner())


def test_stop_cancels_and_lets_clean_up(loop):
    cleaned = threading.Event()

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    loop.submit(wait())
    thread = loop.run(_thread())
    loop.stop()
    assert cleaned.is_set()
    assert not thread.is_alive()
    assert loop.run(asyncio.sleep(0, "a new one")) == "a new one"


async def _thread():
    return threading.current_thread()


def test_the_process_has_one():
    assert background() is background()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_gets_a_loop_of_its_own_and_exits_clean():
    code = """
import asyncio, os, sys
from gke_notebook.cluster.loop import background
assert background().run(asyncio.sleep(0, 1)) == 1
child = os.fork()
if child == 0:
    assert background().run(asyncio.sleep(0, 2), timeout=10) == 2
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
background().submit(asyncio.sleep(60))
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
