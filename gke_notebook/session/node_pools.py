"""`session.node_pools()`: the node pools of a cluster as a list of views, and everything that changes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from gke_notebook import catalog
from gke_notebook.cloud.node_pools import NodePoolApi
from gke_notebook.errors import InvalidInput, nearest
from gke_notebook.insight.node_pools import POOL_LABEL, NodePool, lease_of, observe
from gke_notebook.insight.operations import OperationState, observe_operation
from gke_notebook.manifests import node_pool as manifests
from gke_notebook.request import node_pool as requests
from gke_notebook.request.node_pool_rules import check_reservation
from gke_notebook.request.parse import parse_count
from gke_notebook.request.quantities import MAX_DURATION, parse_duration
from gke_notebook.session import pool_changes
from gke_notebook.session.operation import Operation
from gke_notebook.session.pool_sizes import reservations, sizes
from gke_notebook.session.status import pods_everywhere
from gke_notebook.specs import NodePoolSpec

if TYPE_CHECKING:
    from gke_notebook.session.session import Session

Object = dict[str, Any]


@dataclass(frozen=True)
class NodePoolPlan:
    """A node pool that has not been created yet; `NodePools.apply` sends exactly `request`.

    Args:
        spec: the pool as asked for, complete.
        request: the body of the API's call.
        policy: the resource policy that is made before it, None for none.
        usd_hour_each: the list price of one node in USD per hour, None when unknown.
        price_basis: where the price comes from, or why there is none.
        notes: sentences worth knowing.
    """

    spec: NodePoolSpec
    request: Object = field(repr=False)
    policy: Object | None = field(default=None, repr=False)
    usd_hour_each: float | None = None
    price_basis: str = ""
    notes: tuple[str, ...] = ()


class NodePools(Sequence[NodePool]):
    """The node pools of a session's cluster, as they stood when they were first looked at.

    Args:
        session: the session.
        say: told, in words, when the API makes a change wait.
    """

    def __init__(self, session: Session, say: Callable[[str], None] | None = None) -> None:
        self._session = session
        self._api = NodePoolApi(session.capacity.target(), say)
        self._views: list[NodePool] | None = None

    # -- looking

    def _all(self) -> list[NodePool]:
        if self._views is None:
            found = self._api.pools()
            nodes = self._session.observer(self._session.namespace).nodes
            pods = self._session.call(lambda client: pods_everywhere(client, self._session.namespace)) if nodes else ()
            asked = sizes(self._api.target, found)
            self._views = [observe(pool, asked.get(str(pool["name"])), nodes, pods) for pool in found]
        return self._views

    def refresh(self) -> NodePools:
        """Look again; gives itself."""
        self._views = None
        self._all()
        return self

    @overload
    def __getitem__(self, index: int) -> NodePool: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NodePool]: ...
    def __getitem__(self, index: int | slice) -> NodePool | Sequence[NodePool]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[NodePool]:
        return iter(self._all())

    def __repr__(self) -> str:
        return f"<NodePools of {self._api.target}: {', '.join(pool.name for pool in self._all()) or 'none'}>"

    def get(self, name: str) -> NodePool:
        """Find a node pool by its name.

        Args:
            name: its name.

        Raises:
            InvalidInput: there is none of this name; the text has the nearest one.
        """
        for pool in self._all():
            if pool.name == name:
                return pool
        known = [pool.name for pool in self._all()]
        said = nearest(name, known) if known else "the cluster has none: %gke_nodepool create NAME --gpu TYPE"
        raise InvalidInput(f"there is no node pool {name!r}; {said}")

    def orphans(self) -> list[NodePool]:
        """Give the pools that nobody seems to want: their lease is over, or they have nodes and no job uses them."""
        now = time.time()
        return [pool for pool in self._all() if pool.orphaned(now)]

    # -- creating

    def plan(self, name: str, **options: Any) -> NodePoolPlan:
        """Say what a node pool would be; nothing is written.

        Args:
            name: the pool's name.
            options: what `request.node_pool.build_node_pool` takes: ``gpu``, ``tpu``, ``machine_type``, ``spot``,
                ``flex``, ``reservation``, ``zones``, ``nodes``, ``min_nodes``, ``max_nodes``, ``lease`` and so on.

        Raises:
            InvalidInput: something that was asked for cannot be.

        Example:
            >>> plan = session.node_pools().plan("l4", gpu="l4:1", spot=True)  # doctest: +SKIP
        """
        target = self._api.target
        # What needs no cluster is refused before one is asked.
        requests.build_node_pool(
            name, requests.Place(target.location), owner=self._session.owner, now=time.time(), **options
        )
        cluster = self._api.cluster()
        place = requests.Place(
            target.location,
            tuple(cluster.get("locations") or ()),
            bool((cluster.get("autopilot") or {}).get("enabled")),
        )
        spec = requests.build_node_pool(name, place, owner=self._session.owner, now=time.time(), **options)
        notes: list[str] = []
        if spec.reservation and not spec.reservation_project:
            known, trouble = reservations(target)
            if trouble:
                notes.append(trouble)
            else:
                named = spec.zones if options.get("zones") else ()
                spec = check_reservation(spec, known, target.location, named)
        label = catalog.accelerator(spec.gpu.type).label if spec.gpu else ""
        machine = catalog.attached(spec.machine_type, label, spec.gpu.count if spec.gpu else 0)
        where = spec.zones[0] if spec.zones else target.location
        rate = catalog.rate(machine, where, spec.provisioning)
        return NodePoolPlan(
            spec,
            manifests.create_request(spec),
            manifests.workload_policy(spec),
            None if rate is None else rate.usd_hour,
            rate.basis if rate is not None else catalog.no_rate(machine, where, spec.provisioning),
            tuple(notes),
        )

    def create(self, name: str, **options: Any) -> Operation:
        """Create a node pool; asking twice for the same makes one.

        Args:
            name: the pool's name.
            options: as for `plan`.

        Returns:
            The operation, which goes on whether or not it is waited for.

        Raises:
            InvalidInput: something cannot be, or there is another pool of this name.
            CloudError: the API refuses it.

        Example:
            >>> session.node_pools().create("l4", gpu="l4:1", nodes=2).wait()  # doctest: +SKIP
        """
        return self.apply(self.plan(name, **options))

    def apply(self, plan: NodePoolPlan) -> Operation:
        """Send exactly the request of a plan.

        Args:
            plan: the plan.

        Raises:
            InvalidInput: there is another pool of this name.
            CloudError: the API refuses it.
        """
        return self._changed(pool_changes.create(self._api, plan.request, plan.policy))

    # -- changing

    def resize(
        self, name: str, nodes: object = None, *, min_nodes: object = None, max_nodes: object = None
    ) -> Operation:
        """Change how many nodes a pool has, or the limits between which it scales.

        Args:
            name: the pool.
            nodes: so many nodes in all its zones together.
            min_nodes: the fewest nodes of an autoscaled pool in all.
            max_nodes: the most nodes of an autoscaled pool in all; a pool that does not scale begins to.

        Raises:
            InvalidInput: it cannot have this size; the text has the nearest one.
            CloudError: the API refuses it.
        """
        limits = min_nodes is not None or max_nodes is not None
        if (nodes is None) == (not limits):
            raise InvalidInput("say either how many nodes, --nodes N, or the limits of the autoscaler, --min N --max N")
        pool = self.refresh().get(name)
        if limits:
            least = pool.least if pool.autoscaling else 0
            least = least if min_nodes is None else parse_count(min_nodes, "--min", 0, requests.MOST_NODES)
            most = pool.most if max_nodes is None else parse_count(max_nodes, "--max", 1, requests.MOST_NODES)
            raw = self._api.get(name) or {}
            return self._changed(pool_changes.set_limits(self._api, pool, raw.get("autoscaling") or {}, least, most))
        count = parse_count(nodes, "--nodes", 0, requests.MOST_NODES)
        return self._changed(pool_changes.set_size(self._api, pool, count))

    def delete(self, name: str, *, force: bool = False) -> Operation:
        """Delete a pool with its nodes.

        Args:
            name: the pool.
            force: also when jobs run on it, which lose those nodes.

        Raises:
            InvalidInput: there is none of this name, or jobs run on it and `force` is not given.
            CloudError: the API refuses it.
        """
        pool = self.refresh().get(name)
        if pool.jobs and not force:
            listed = ", ".join(map(str, pool.jobs))
            raise InvalidInput(
                f"jobs run on node pool {name!r}: {listed}; %gke_cancel them or wait for their end first. --force "
                "deletes it all the same: these pods end, and what they have not written to a bucket is lost"
            )
        return self._changed(pool_changes.delete(self._api, name))

    def extend(self, name: str, lease: object = requests.DEFAULT_LEASE) -> float:
        """Give a pool a longer lease, from now on; no node is touched.

        Args:
            name: the pool.
            lease: how long it is still wanted, for example ``4h``.

        Returns:
            When the lease is over, in seconds since 1970; a lease that is longer already stays.

        Raises:
            InvalidInput: there is none of this name.
            CloudError: the API refuses it.
        """
        until = int(time.time()) + min(parse_duration(lease, "--lease"), MAX_DURATION)
        raw = self._api.get(name)
        if raw is None:
            self.refresh().get(name)  # says which pool was meant
            raise InvalidInput(f"node pool {name!r} is gone")
        now = lease_of(raw)
        if now is not None and now >= until:
            return now
        pool_changes.write_lease(self._api, raw, until)
        self._views = None
        return float(until)

    def operation(self, name: str) -> Operation:
        """Give the operation that works on a pool, or the last one that did.

        Args:
            name: the pool.

        Raises:
            InvalidInput: there is neither such a pool nor an operation.
        """
        found = self._api.operations(name)
        if found:
            running = [one for one in found if one.get("status") != "DONE"]
            return Operation(self._api, observe_operation((running or found)[0]))
        self.refresh().get(name)
        return Operation(self._api, OperationState("", name, "changing"), "no operation of it is known to the API")

    def explain(self, name: str) -> tuple[str, ...]:
        """Say why a pool has the size it has: its limits, the last changes, errors, the autoscaler, quota, the lease.

        Args:
            name: the pool.

        Raises:
            InvalidInput: there is none of this name.
        """
        from gke_notebook.session.pool_story import tell

        return tell(self._session, self._api, self.refresh().get(name))

    def _changed(self, operation: Operation) -> Operation:
        self._views = None
        self._session.capacity.forget()
        return operation


def known_names(session: Session) -> list[str]:
    """Give the names of the pools whose nodes the session has seen; nothing is asked, so that Tab never waits.

    Args:
        session: the session.
    """
    watched = session._observers.values()  # noqa: SLF001 - the two belong together
    nodes = next((one.nodes for one in watched if one.nodes is not None), ())
    return sorted({node.metadata.labels.get(POOL_LABEL, "") for node in nodes} - {""})
