"""The real control plane of the contract tests: found, and started once for a whole run of the tests."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.control_plane import HOW, control_plane, find_control_plane

SHARED = "GKE_NOTEBOOK_CONTRACT_SERVER"
"""Names a JSON file (server, token, authority) of a control plane that runs already: for work on the tests."""
SHARED_QUEUES = "GKE_NOTEBOOK_CONTRACT_QUEUES_SERVER"
"""The same of one with JobSet and Kueue."""
MISSING = f"the real half of the comparison was not run: {HOW}"


@dataclass(frozen=True)
class Plane:
    """A running control plane.

    Args:
        server: its URL.
        token: the bearer token of a user with every right.
        authority: the certificate to trust, in PEM.
    """

    server: str
    token: str
    authority: str


@contextlib.contextmanager
def running_plane(home: Path, *, queues: bool = False) -> Iterator[Plane | None]:
    """Give the control plane that runs already, or run one; None where there is none.

    Args:
        home: an empty directory for its state and logs.
        queues: whether JobSet and Kueue run on it.
    """
    file = os.environ.get(SHARED_QUEUES if queues else SHARED)
    found = find_control_plane()
    if file:
        yield Plane(**json.loads(Path(file).read_text()))
    elif found is None or (queues and not {"jobset", "kueue"} <= set(found.programs)):
        yield None
    else:
        with control_plane(home, jobset=queues, kueue=queues) as details:
            yield Plane(details.server, details.token, details.authority.read_text())
