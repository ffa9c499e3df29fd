"""When a machine that does not come is a failure of its group; pure but for what it remembers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gke_notebook.sandbox.autoscaler import texts
from gke_notebook.sandbox.autoscaler.groups import REGISTER_SECONDS, Group
from gke_notebook.sandbox.autoscaler.view import Machine, View


@dataclass(frozen=True)
class Failed:
    """A group that could not get what it asked for.

    Args:
        group: the group.
        machines: names of the machines that are given up.
        code: Compute Engine's code, or `texts.TIMEOUT`.
        message: its text.
    """

    group: Group
    machines: tuple[str, ...]
    code: str
    message: str


class Waits:
    """Since when each machine is waited for."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def failed(self, view: View, now: float) -> list[Failed]:
        """Give the groups that have failed.

        Args:
            view: what there is.
            now: the time on the fleet's clock.
        """
        coming = {one.name for machines in view.coming.values() for one in machines}
        self._since = {name: since for name, since in self._since.items() if name in coming}
        found = []
        for name, machines in view.coming.items():
            group = view.groups[name]
            if not group.running:
                continue
            bad = [(one, code) for one in machines if (code := self._code(group, one, now))]
            if bad:
                first, code = bad[0]
                given_up = machines if group.hosts else [one for one, _ in bad]
                message = first.message or f"Instance '{first.name}' is not registered."
                found.append(Failed(group, tuple(one.name for one in given_up), code, message))
        return found

    def _code(self, group: Group, machine: Machine, now: float) -> str:
        since = self._since.setdefault(machine.name, now)
        if machine.code:
            waits = group.patience if machine.code in texts.SHORTAGES else 0.0
            return machine.code if now - since >= waits else ""
        late = not machine.registered and now - since >= group.patience + REGISTER_SECONDS
        return texts.TIMEOUT if late else ""

    def next_end(self, groups: Iterable[Group], coming: dict[str, list[Machine]]) -> float | None:
        """Say when the next machine is given up, on the fleet's clock.

        Args:
            groups: the groups.
            coming: their machines.
        """
        ends = [
            self._since[one.name] + group.patience + (0.0 if one.code else REGISTER_SECONDS)
            for group in groups
            for one in coming.get(group.name, ())
            if one.name in self._since and not one.registered
        ]
        return min(ends, default=None)
