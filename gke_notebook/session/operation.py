"""`Operation`: a change of a node pool that takes time; waited for, cancelled, or left to go on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gke_notebook.errors import GkeNotebookError, StillRunning
from gke_notebook.insight.operations import OperationState, observe_operation

if TYPE_CHECKING:
    from gke_notebook.cloud.node_pools import NodePoolApi

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 3.0


class NodePoolFailed(GkeNotebookError):  # noqa: N818 - reads as a sentence where it is caught
    """An operation on a node pool has ended without success; the text says why, and what may help."""


class Operation:
    """One long-running operation of the GKE API.

    Args:
        api: the cluster's node pools.
        state: where it stands; one without a name is done already.
        note: a sentence about how it came to be, for example that it was begun before.
    """

    def __init__(self, api: NodePoolApi, state: OperationState, note: str = "") -> None:
        self._api = api
        self._state = state
        self.note = note

    def __repr__(self) -> str:
        return f"<Operation {self._state.sentence}>"

    @property
    def name(self) -> str:
        """The API's name for it, empty for one that was not needed."""
        return self._state.name

    @property
    def pool(self) -> str:
        """The node pool it works on."""
        return self._state.pool

    @property
    def last(self) -> OperationState:
        """Where it stood when it was asked for last; the API is not asked."""
        return self._state

    @property
    def state(self) -> OperationState:
        """Where it stands now.

        Raises:
            GkeNotebookError: the API cannot be asked.
        """
        if not self._state.done:
            self._state = observe_operation(self._api.operation(self.name))
        return self._state

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state.done

    def wait(
        self, timeout: float | None = None, on_change: Callable[[OperationState], None] | None = None
    ) -> OperationState:
        """Wait for its end; an interrupt leaves it running.

        Args:
            timeout: seconds to wait at most, None for no limit.
            on_change: told of each state that was seen.

        Raises:
            NodePoolFailed: it has ended without success.
            StillRunning: the time was over; it goes on.
            GkeNotebookError: the API cannot be asked.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        wait = _FIRST_WAIT
        while True:
            state = self.state
            if on_change is not None:
                on_change(state)
            if state.done:
                if state.error:
                    raise NodePoolFailed(f"{state.sentence}{f'; {state.advice}' if state.advice else ''}")
                return state
            left = wait if deadline is None else min(wait, deadline - time.monotonic())
            if left <= 0:
                raise StillRunning(
                    f"{state.sentence}; it goes on after {timeout:g} s: %gke_nodepool wait {self.pool} follows it"
                )
            time.sleep(left)
            wait = min(wait * 1.3, _LONGEST_WAIT)

    def cancel(self) -> None:
        """Ask for its end; what runs already stays.

        Raises:
            GkeNotebookError: it cannot be cancelled, or is done.
        """
        self._api.cancel(self.name)
