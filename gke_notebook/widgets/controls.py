"""The buttons under a live card: cancel, and which rank's log is shown; gone when the job has ended.

Only for a card that is followed in the background: while a cell waits, the kernel answers no widget (tried with
ipykernel 7.4 and JupyterLab 4.6, whose subshells do not carry the messages of widgets made by the kernel); there the
notebook's stop button leaves the wait, and the job goes on.
"""

from __future__ import annotations

import threading
from typing import Any

from gke_notebook.errors import GkeNotebookError
from gke_notebook.widgets.canvas import show_bundle
from gke_notebook.widgets.live import JobCard

VIEW_MIME = "application/vnd.jupyter.widget-view+json"
_RANKS = 1024  # entries of the selector
_ALL = -1


class Controls:
    """A box with a cancel button and a rank selector.

    Args:
        card: the live card it belongs to.
        ranks: how many ranks the job has.
    """

    def __init__(self, card: JobCard, ranks: int) -> None:
        import ipywidgets

        self._card = card
        self._handle: Any = None
        self._cancel = ipywidgets.Button(
            description="Cancel job", icon="stop", tooltip=f"Stop {card.job.name} and free its nodes"
        )
        self._cancel.on_click(self._clicked)
        choices = [("all ranks", _ALL), *((f"rank {rank}", rank) for rank in range(min(ranks, _RANKS)))]
        self._rank = ipywidgets.Dropdown(options=choices, value=_ALL, description="Log of", layout={"width": "220px"})
        self._rank.observe(lambda change: self._select(change["new"]), names="value")
        children = [self._cancel, self._rank] if ranks > 1 else [self._cancel]
        self._box = ipywidgets.HBox(children)
        card.on_end(self.close)

    def show(self) -> None:
        """Display the box; without a widget front end nothing is seen."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        self._handle = show_bundle({"text/plain": "", VIEW_MIME: view})

    def close(self) -> None:
        """Take the box away, from the page and from the saved notebook."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
            self._handle = None
        for widget in (self._cancel, self._rank, self._box):
            widget.close()

    def _clicked(self, button: Any) -> None:
        button.disabled = True
        button.description = "Cancelling"
        threading.Thread(target=self._stop, name="gke-notebook cancel", daemon=True).start()

    def _stop(self) -> None:
        try:
            self._card.job.cancel()
        except GkeNotebookError as error:
            self._card.notes = (*self._card.notes, f"could not be cancelled: {error}")
            self._cancel.disabled = False
            self._cancel.description = "Cancel job"
        self._select(self._rank.value)

    def _select(self, rank: int) -> None:
        self._card.select(None if rank == _ALL else rank)


def show_controls(card: JobCard, ranks: int) -> Controls | None:
    """Show the controls of a live card, where there are widgets.

    Args:
        card: the card.
        ranks: how many ranks the job has.

    Returns:
        The controls, None where ipywidgets is not installed or there is no kernel to talk to.
    """
    try:
        controls = Controls(card, ranks)
    except ImportError:
        return None
    controls.show()
    return controls
