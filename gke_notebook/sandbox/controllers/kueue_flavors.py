"""Which flavors of a ClusterQueue a Workload can have, and in Kueue's words why it cannot; pure.

Source of rules and texts: sigs.k8s.io/kueue v0.15.0 (`pkg/scheduler/flavorassigner`), for a ClusterQueue without
cohort whose Workloads do not preempt each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gke_notebook.sandbox.controllers.meta import Object
from gke_notebook.sandbox.controllers.pod_requirements import matches_expression, tolerates
from gke_notebook.sandbox.quantity import canonical
from gke_notebook.sandbox.requests import Amounts, amount, amounts, requests

FlavorResource = tuple[str, str]
"""A flavor's name and a resource's name."""
Usage = dict[FlavorResource, int]

FIT, PREEMPT, NO_FIT = "Fit", "Preempt", "NoFit"
_PODS = "pods"
_BINARY = ("memory", "ephemeral-storage")


def quantity(resource: str, value: int) -> str:
    """Write an amount as Kueue does.

    Args:
        resource: the resource's name.
        value: in thousandths for cpu, in its base unit for all else.

    Example:
        >>> quantity("cpu", 1500), quantity("memory", 2**30), quantity("nvidia.com/gpu", 2)
        ('1500m', '1Gi', '2')
    """
    if resource == "cpu":
        return canonical(f"{value}m")
    if (resource in _BINARY or resource.startswith("hugepages-")) and value and value % 1024 == 0:
        return canonical(f"{value // 1024}Ki")
    return canonical(str(value))


def quantities(found: Mapping[str, int]) -> dict[str, str]:
    """Write many amounts."""
    return {name: quantity(name, value) for name, value in found.items()}


@dataclass(frozen=True)
class Needs:
    """What one pod set of a Workload asks for.

    Args:
        name: the pod set's name.
        count: how many pods.
        requests: of all pods together.
        spec: the pods' spec.
    """

    name: str
    count: int
    requests: Amounts
    spec: Object


def needs(workload: Object) -> list[Needs]:
    """Give what a Workload asks for, without the pods that have done their work.

    Args:
        workload: the Workload.
    """
    done = {each["name"]: each["count"] for each in (workload.get("status") or {}).get("reclaimablePods") or ()}
    found = []
    for each in workload["spec"]["podSets"]:
        name, spec = each.get("name", "main"), each["template"].get("spec") or {}
        count = each.get("count", 1) - done.get(name, 0)
        total = {resource: value * count for resource, value in requests(spec).items()}
        found.append(Needs(name, count, total, spec))
    return found


def reserved(workload: Object) -> Usage:
    """Give what an admitted Workload takes of its ClusterQueue.

    Args:
        workload: the Workload, with its admission.
    """
    status = workload["status"]
    done = {each["name"]: each["count"] for each in status.get("reclaimablePods") or ()}
    counts = {each.get("name", "main"): each.get("count", 1) for each in workload["spec"]["podSets"]}
    usage: Usage = {}
    for each in status["admission"]["podSetAssignments"]:
        count = each.get("count", counts.get(each["name"], 1))
        left = min(count, counts.get(each["name"], count) - done.get(each["name"], 0))
        for resource, value in amounts(each.get("resourceUsage")).items():
            flavor = (each.get("flavors") or {}).get(resource)
            if flavor:
                key = flavor, resource
                usage[key] = usage.get(key, 0) + (value if left == count else value // count * left)
    return usage


class Quotas:
    """What a ClusterQueue has.

    Args:
        spec: the ClusterQueue's spec.

    Example:
        >>> flavors = [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": "2"}]}]
        >>> Quotas({"resourceGroups": [{"coveredResources": ["cpu"], "flavors": flavors}]}).nominal
        {('f', 'cpu'): 2000}
    """

    def __init__(self, spec: Object) -> None:
        self.groups: list[tuple[frozenset[str], list[str]]] = []
        self.nominal: Usage = {}
        for group in spec.get("resourceGroups") or ():
            names = [each["name"] for each in group["flavors"]]
            self.groups.append((frozenset(group["coveredResources"]), names))
            for flavor in group["flavors"]:
                for each in flavor["resources"]:
                    key = flavor["name"], each["name"]
                    self.nominal[key] = amount(each["name"], each["nominalQuota"])

    @property
    def flavors(self) -> list[str]:
        """The flavors it names, in their order."""
        return [name for _, names in self.groups for name in names]

    def group(self, resource: str) -> tuple[frozenset[str], list[str]] | None:
        """Give the resources and flavors of the group that has a resource."""
        return next((each for each in self.groups if resource in each[0]), None)

    def usage(self, used: Usage, *, borrowed: bool) -> list[Object]:
        """Write a usage as the status of a queue does.

        Args:
            used: the usage.
            borrowed: whether it says how much is borrowed.
        """
        more = {"borrowed": "0"} if borrowed else {}
        return [
            {
                "name": flavor,
                "resources": [
                    {"name": each, "total": quantity(each, used.get((flavor, each), 0)), **more}
                    for each in sorted(covered)
                ],
            }
            for covered, names in self.groups
            for flavor in names
        ]


@dataclass
class Attempt:
    """How one flavor did for a pod set."""

    mode: str
    reasons: set[str] = field(default_factory=set)


@dataclass
class PodSetAssignment:
    """What a pod set gets."""

    needs: Needs
    flavors: dict[str, str] = field(default_factory=dict)
    mode: str = FIT
    reasons: list[str] = field(default_factory=list)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)


@dataclass
class Assignment:
    """What a Workload gets.

    Args:
        pod_sets: of each pod set, up to the first for which there is nothing at all.
    """

    pod_sets: list[PodSetAssignment] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether all of it is free now."""
        return bool(self.pod_sets) and all(each.mode == FIT for each in self.pod_sets)

    @property
    def message(self) -> str:
        """Why it does not fit."""
        return "; ".join(
            f"couldn't assign flavors to pod set {each.needs.name}: {', '.join(sorted(each.reasons))}"
            for each in self.pod_sets
            if each.reasons
        )

    @property
    def considered(self) -> str:
        """The flavors that were passed over, as the event of the reservation tells them."""
        parts = []
        for each in self.pod_sets:
            tried = [
                f"{name}({';'.join([attempt.mode, *sorted(attempt.reasons)])})"
                for name, attempt in sorted(each.attempts.items())
                if attempt.mode != FIT
            ]
            if tried:
                parts.append(f"{each.needs.name}: {', '.join(tried)}")
        return " | ".join(parts)

    @property
    def last(self) -> list[dict[str, int]]:
        """The last flavor tried for each resource of each pod set, -1 after the last of all."""
        return [each.tried for each in self.pod_sets]

    @property
    def flavors_left(self) -> bool:
        """Whether there are flavors that were not tried."""
        return any(index != -1 for tried in self.last for index in tried.values())

    def written(self) -> list[Object]:
        """Give it as the Workload's admission has it."""
        return [
            {
                "name": each.needs.name, "count": each.needs.count, "flavors": dict(sorted(each.flavors.items())),
                "resourceUsage": quantities(dict(sorted(each.needs.requests.items()))),
            }
            for each in self.pod_sets
        ]  # fmt: skip


def assign(
    wanted: Sequence[Needs],
    quotas: Quotas,
    used: Usage,
    flavors: Mapping[str, Object],
    last: Sequence[Mapping[str, int]] = (),
) -> Assignment:
    """Find flavors for a Workload.

    Args:
        wanted: what its pod sets ask for.
        quotas: what the ClusterQueue has.
        used: what is taken of it.
        flavors: the ResourceFlavors by name.
        last: what was tried last, while nothing has been given back since.
    """
    found = Assignment()
    state = _State(quotas, used, flavors)
    for index, each in enumerate(wanted):
        if quotas.group(_PODS) is not None:
            each = Needs(each.name, each.count, {**each.requests, _PODS: each.count}, each.spec)  # noqa: PLW2901
        result = PodSetAssignment(each)
        found.pod_sets.append(result)
        before = last[index] if index < len(last) else {}
        for resource in sorted(each.requests):
            if resource in result.flavors:
                continue
            if not _find(result, resource, state, before):
                result.flavors, result.mode = {}, NO_FIT
                break
        for resource, flavor in result.flavors.items():
            state.taken[flavor, resource] = state.taken.get((flavor, resource), 0) + each.requests[resource]
        if each.requests and not result.flavors:
            break
    return found


@dataclass
class _State:
    """What there is to choose from, and what earlier pod sets of the same Workload have taken."""

    quotas: Quotas
    used: Usage
    flavors: Mapping[str, Object]
    taken: Usage = field(default_factory=dict)

    def spec(self, flavor: str) -> Object:
        """Give the spec of a ResourceFlavor, empty for one that is not there."""
        return (self.flavors.get(flavor) or {}).get("spec") or {}


def _find(result: PodSetAssignment, resource: str, state: _State, before: Mapping[str, int]) -> bool:
    """Find a flavor for one resource and all others of its group; says whether there may be one."""
    group = state.quotas.group(resource)
    if group is None:
        result.reasons = [f"resource {resource} unavailable in ClusterQueue"]
        return False
    covered, names = group
    wanted = {name: value for name, value in sorted(result.needs.requests.items()) if name in covered}
    keys = {key for name in names for key in state.spec(name).get("nodeLabels") or {}}
    reasons: list[str] = []
    best, best_mode, at = "", NO_FIT, len(names) - 1
    for index in range(before.get(resource, -1) + 1, len(names)):
        name = names[index]
        mode, why = _fitting(name, wanted, result.needs.spec, state, keys)
        _note(result.attempts, name, mode, why)
        reasons += why
        if mode == FIT or (mode == PREEMPT and best_mode == NO_FIT):
            best, best_mode = name, mode
        if mode == FIT:
            at = index
            break
    if not best:
        result.reasons = reasons
        return False
    tried = -1 if at == len(names) - 1 else at
    result.flavors.update(dict.fromkeys(wanted, best))
    result.tried.update(dict.fromkeys(wanted, tried))
    if best_mode != FIT:
        result.reasons += reasons
        result.mode = PREEMPT
    return True


def _note(attempts: dict[str, Attempt], name: str, mode: str, why: Sequence[str]) -> None:
    order = (NO_FIT, PREEMPT, FIT)
    attempt = attempts.setdefault(name, Attempt(mode))
    attempt.mode = min(attempt.mode, mode, key=order.index)
    attempt.reasons.update(why)


def _fitting(name: str, wanted: Amounts, spec: Object, state: _State, keys: set[str]) -> tuple[str, list[str]]:
    """Say how well a flavor suits, and why not."""
    if name not in state.flavors:
        return NO_FIT, [f"flavor {name} not found"]
    flavor = state.spec(name)
    tolerations = [*(spec.get("tolerations") or ()), *(flavor.get("tolerations") or ())]
    for taint in flavor.get("nodeTaints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
            text = f"{{{taint.get('key', '')} {taint.get('value', '')} {taint['effect']} <nil>}}"
            return NO_FIT, [f"untolerated taint {text} in flavor {name}"]
    if not _selected(spec, flavor.get("nodeLabels") or {}, keys):
        return NO_FIT, [f"flavor {name} doesn't match node affinity"]
    mode = FIT
    why: list[str] = []
    for resource, value in wanted.items():
        assumed, most = state.taken.get((name, resource), 0), state.quotas.nominal[name, resource]
        free = most - state.used.get((name, resource), 0)
        if assumed + value > most:
            before, now, limit = (quantity(resource, each) for each in (assumed, value, most))
            why.append(
                f"insufficient quota for {resource} in flavor {name}, previously considered podsets requests ({before})"
                f" + current podset request ({now}) > maximum capacity ({limit})"
            )
            return NO_FIT, why
        if assumed + value > free:
            lacking = quantity(resource, assumed + value - free)
            why.append(f"insufficient unused quota for {resource} in flavor {name}, {lacking} more needed")
            mode = PREEMPT
    return mode, why


def _selected(spec: Object, labels: Mapping[str, str], keys: set[str]) -> bool:
    """Say whether pods may run on nodes with a flavor's labels; only keys that some flavor of the group has count."""
    for key, value in (spec.get("nodeSelector") or {}).items():
        if key in keys and labels.get(key) != value:
            return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = [
        [each for each in term.get("matchExpressions") or () if each.get("key") in keys]
        for term in affinity.get("nodeSelectorTerms") or ()
    ]
    # A term that says nothing of these keys lets any flavor pass, since one term is enough.
    if not terms or not all(terms):
        return True
    return any(all(matches_expression(each, labels) for each in term) for term in terms)
