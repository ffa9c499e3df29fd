"""One event loop in a background thread for the whole process: the kernel never blocks, sync methods wait on it."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# A wait without an end cannot be interrupted on every platform; slices of one can, and cost nothing.
_SLICE = 1.0
_STOP_SECONDS = 3.0


class BackgroundLoop:
    """An asyncio event loop that runs in a daemon thread.

    Example:
        >>> loop = BackgroundLoop()
        >>> loop.run(asyncio.sleep(0, "done"))
        'done'
        >>> loop.stop()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop itself, started when need be."""
        return self.start()

    def start(self) -> asyncio.AbstractEventLoop:
        """Start the thread if it does not run yet, and give its event loop."""
        with self._lock:
            # After a fork the thread is gone but the object is there: a child gets a loop of its own.
            if (
                self._loop is None
                or self._process != os.getpid()
                or self._thread is None
                or not self._thread.is_alive()
            ):
                ready = threading.Event()
                self._loop = loop = asyncio.new_event_loop()
                self._process = os.getpid()
                self._thread = threading.Thread(target=_serve, args=(loop, ready), name="gke-notebook", daemon=True)
                self._thread.start()
                ready.wait()
                atexit.register(self.stop)
            return self._loop

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop and give a future for its result; cancelling the future cancels the coroutine.

        Args:
            coroutine: what to run.
        """
        return asyncio.run_coroutine_threadsafe(coroutine, self.start())

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait for its result, from any other thread.

        KeyboardInterrupt reaches the waiting thread at once; the coroutine is then cancelled.

        Args:
            coroutine: what to run.
            timeout: seconds to wait; None waits.

        Raises:
            TimeoutError: the time is over; the coroutine is cancelled.
            RuntimeError: called from the loop's own thread, where waiting would never end.
        """
        loop = self.start()
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("BackgroundLoop.run waits, so it cannot be called on the loop's own thread")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while not future.done():
                left = _SLICE if end is None else min(_SLICE, end - time.monotonic())
                if left <= 0:
                    raise TimeoutError(f"no answer within {timeout:g} s")
                concurrent.futures.wait([future], left)
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def stop(self) -> None:
        """Cancel what runs, let it clean up, and end the thread."""
        with self._lock:
            loop, thread, process = self._loop, self._thread, self._process
            self._loop = self._thread = None
        atexit.unregister(self.stop)
        if loop is None or thread is None or process != os.getpid() or not thread.is_alive():
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)


def _serve(loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    loop.call_soon(ready.set)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=_STOP_SECONDS - 1.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        # aiohttp closes TLS connections on the turns after its session is closed.
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


_background = BackgroundLoop()


def background() -> BackgroundLoop:
    """Give the process's own background loop; its thread starts on first use."""
    return _background
