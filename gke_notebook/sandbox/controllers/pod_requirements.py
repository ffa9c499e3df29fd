"""What a pod asks of a node: resources, ports, tolerations, node selection; pure and remembered per kind of pod.

Rules: kubernetes 1.34, component-helpers/resource (requests), component-helpers/scheduling (affinity, taints).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gke_notebook.sandbox.controllers.meta import Object, canonical
from gke_notebook.sandbox.jobsets import EXCLUSIVE, JOB_KEY, NODE_SELECTOR
from gke_notebook.sandbox.requests import Amounts, requests

Port = tuple[str, str, int]


def host_ports(spec: Object) -> tuple[Port, ...]:
    """Give the ports of the node that a pod wants: address, protocol, number."""
    found = []
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port.get("containerPort") if spec.get("hostNetwork") else None)
            if number:
                found.append((port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(number)))  # noqa: S104
    return tuple(found)


def ports_conflict(wanted: Iterable[Port], used: Iterable[Port]) -> bool:
    """Say whether one of the ports is taken; all addresses clash with each one."""
    taken = list(used)
    for address, protocol, number in wanted:
        for other, other_protocol, other_number in taken:
            same = (protocol, number) == (other_protocol, other_number)
            if same and (address == other or "0.0.0.0" in (address, other)):  # noqa: S104
                return True
    return False


def tolerates(tolerations: Sequence[Object], taint: Object) -> bool:
    """Say whether a taint is tolerated.

    Args:
        tolerations: the pod's.
        taint: the node's.
    """
    return any(toleration_matches(toleration, taint) for toleration in tolerations)


def toleration_matches(toleration: Object, taint: Object) -> bool:
    """Say whether one toleration is meant for a taint."""
    effect, key = toleration.get("effect"), toleration.get("key")
    if effect and effect != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def matches_expression(expression: Object, values: Mapping[str, str]) -> bool:
    """Apply one requirement of a node selector term.

    Args:
        expression: `key`, `operator` (In, NotIn, Exists, DoesNotExist, Gt, Lt) and `values`.
        values: the node's labels or fields.
    """
    key, operator, wanted = expression.get("key", ""), expression.get("operator"), expression.get("values") or []
    present = values.get(key)
    if operator == "In":
        return present in wanted
    if operator == "NotIn":
        return present not in wanted
    if operator == "Exists":
        return present is not None
    if operator == "DoesNotExist":
        return present is None
    if operator in ("Gt", "Lt") and present is not None and len(wanted) == 1:
        try:
            number, bound = int(present), int(wanted[0])
        except ValueError:
            return False
        return number > bound if operator == "Gt" else number < bound
    return False


def matches_term(term: Object, labels: Mapping[str, str], name: str) -> bool:
    """Say whether a node satisfies a node selector term; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(matches_expression(item, labels) for item in expressions) and all(
        matches_expression(item, {"metadata.name": name}) for item in fields
    )


def named_nodes(terms: Sequence[Object] | None) -> set[str] | None:
    """Give the only nodes that node selector terms allow by name, None when one of them names none.

    Args:
        terms: those of the required node affinity.

    Example:
        >>> named_nodes([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}])
        {'a'}
    """
    found: set[str] = set()
    for term in terms or ():
        sets = [
            set(item.get("values") or ())
            for item in term.get("matchFields") or ()
            if item.get("key") == "metadata.name" and item.get("operator") == "In"
        ]
        if not sets:
            return None
        found |= set.intersection(*sets)
    return found if terms else None


@dataclass(frozen=True)
class Requirements:
    """What the scheduler needs to know of a pod.

    Args:
        signature: equal for pods that ask for the same.
        requests: resources.
        ports: ports of the node.
        tolerations: the pod's tolerations.
        node_selector: labels the node must have.
        required: terms one of which the node must satisfy, None when there is no such rule.
        preferred: weighted terms.
        node_name: the node that is asked for by name.
        refused: why no node can be found, whatever the nodes are.
        priority: which pods go first, and which may be displaced.
        may_preempt: whether pods of less priority may be displaced for it.
        exclusive: for a pod of a JobSet with exclusive placement, the label of the domain that its Job has to itself,
            and the Job's key; empty otherwise.
    """

    signature: str
    requests: Amounts
    ports: tuple[Port, ...]
    tolerations: tuple[Object, ...]
    node_selector: Mapping[str, str]
    required: tuple[Object, ...] | None
    preferred: tuple[Object, ...]
    node_name: str
    refused: str
    priority: int
    may_preempt: bool
    exclusive: tuple[str, str] | tuple[()] = ()

    @classmethod
    def of(cls, pod: Object, claims: frozenset[str] = frozenset()) -> Requirements:
        """Read a pod's requirements.

        Args:
            pod: the pod.
            claims: names of the persistent volume claims of its namespace that can be used.
        """
        spec = pod["spec"]
        affinity = spec.get("affinity") or {}
        node_affinity = affinity.get("nodeAffinity") or {}
        required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        found: Amounts = requests(spec)
        refused = refusal(spec, claims)
        exclusive = exclusive_domain(pod)
        parts = [
            found,
            host_ports(spec),
            spec.get("tolerations") or [],
            spec.get("nodeSelector") or {},
            node_affinity,
            spec.get("priority") or 0,
            spec.get("preemptionPolicy"),
            refused,
            exclusive,
        ]
        return cls(
            canonical(parts),
            found,
            host_ports(spec),
            tuple(spec.get("tolerations") or ()),
            spec.get("nodeSelector") or {},
            None if required is None else tuple(required.get("nodeSelectorTerms") or ()),
            tuple(node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()),
            spec.get("nodeName") or "",
            refused,
            int(spec.get("priority") or 0),
            spec.get("preemptionPolicy") != "Never",
            exclusive,
        )


def exclusive_domain(pod: Object) -> tuple[str, str] | tuple[()]:
    """Give the label and the Job's key of a pod with exclusive placement, empty for another pod.

    The real controller gives the first pod of each Job affinity and anti-affinity by the Job's key, and the others the
    node selector of where that one went (sigs.k8s.io/jobset v0.10.1, pkg/webhooks/pod_mutating_webhook.go). With the
    strategy of the node selector an administrator has labelled the nodes, and nothing is left to do here.

    Args:
        pod: the pod.
    """
    annotations = pod["metadata"].get("annotations") or {}
    key = (pod["metadata"].get("labels") or {}).get(JOB_KEY)
    if EXCLUSIVE not in annotations or NODE_SELECTOR in annotations or not key:
        return ()
    return annotations[EXCLUSIVE], key


def _required(spec: Object, kind: str) -> list[Object]:
    """Give the terms of required pod affinity, but for those of JobSet's webhook: they say what `exclusive` says."""
    terms = (((spec.get("affinity") or {}).get(kind)) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return [
        term
        for term in terms
        if {item.get("key") for item in (term.get("labelSelector") or {}).get("matchExpressions") or ()} != {JOB_KEY}
    ]


def refusal(spec: Object, claims: frozenset[str] = frozenset()) -> str:
    """Say which rule of a pod this scheduler cannot honour, so that it is never passed over in silence.

    Preferences (preferred pod affinity, `ScheduleAnyway`) are let pass: no node violates them.

    Args:
        spec: the pod's spec.
        claims: names of the persistent volume claims of its namespace that can be used.
    """
    if _required(spec, "podAffinity"):
        return "the sandbox's scheduler does not implement required pod affinity"
    if _required(spec, "podAntiAffinity"):
        return "the sandbox's scheduler does not implement required pod anti-affinity"
    spread = spec.get("topologySpreadConstraints") or ()
    if any(item.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule" for item in spread):
        return "the sandbox's scheduler does not implement topology spread constraints with DoNotSchedule"
    if spec.get("resourceClaims"):
        return "the sandbox's scheduler does not implement resource claims"
    for volume in spec.get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim not in claims:
            return f'persistentvolumeclaim "{claim}" not found'
    return ""
