"""The variables of an admission policy's expressions, and policies made ready for requests.

Source: k8s.io/apiserver v0.34 (`pkg/admission/plugin/cel`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .nodes import CompileError
from .program import Program, compile_expression
from .types import BOOL, DYN, INT, NULL, STRING, TIMESTAMP, Type, list_of, map_of, struct

Object = dict[str, Any]

_STRINGS, _LABELS = list_of(STRING), map_of(STRING, STRING)


def _all(type_: Type, *names: str) -> dict[str, Type]:
    return dict.fromkeys(names, type_)


_KIND = struct("kubernetes.GroupVersionKind", _all(STRING, "group", "version", "kind"))
_RESOURCE = struct("kubernetes.GroupVersionResource", _all(STRING, "group", "version", "resource"))
_USER = struct(
    "kubernetes.UserInfo",
    {**_all(STRING, "username", "uid"), "groups": _STRINGS, "extra": map_of(STRING, _STRINGS)},
)
REQUEST = struct(
    "kubernetes.AdmissionRequest",
    {
        "kind": _KIND, "resource": _RESOURCE, "requestKind": _KIND, "requestResource": _RESOURCE, "userInfo": _USER,
        **_all(STRING, "subResource", "requestSubResource", "name", "namespace", "operation"),
        "dryRun": BOOL, "options": DYN,
    },
)  # fmt: skip
_CONDITION = struct(
    "kubernetes.NamespaceCondition",
    {**_all(STRING, "status", "type", "message", "reason"), "lastTransitionTime": TIMESTAMP},
)
NAMESPACE = struct(
    "kubernetes.Namespace",
    {
        "metadata": struct(
            "kubernetes.NamespaceMetadata",
            {
                **_all(STRING, "name", "generateName", "namespace", "UID", "resourceVersion"),
                **_all(_LABELS, "labels", "annotations"),
                **_all(TIMESTAMP, "creationTimestamp", "deletionTimestamp"),
                **_all(INT, "deletionGracePeriodSeconds", "generation"),
                "finalizers": _STRINGS,
            },
        ),
        "spec": struct("kubernetes.NamespaceSpec", {"finalizers": _STRINGS}),
        "status": struct(
            "kubernetes.NamespaceStatus", {"conditions": list_of(_CONDITION), "phase": STRING}
        ),
    },
)  # fmt: skip


@lru_cache(maxsize=4)
def variables(*, params: bool) -> tuple[tuple[str, Type], ...]:
    """Give the variables that every expression of a policy has.

    Args:
        params: whether the policy has parameters.
    """
    found = (("object", DYN), ("oldObject", DYN), ("namespaceObject", NAMESPACE), ("request", REQUEST))
    return (*found, ("params", DYN)) if params else found


class WrongExpression(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """An expression that a policy cannot have, in the words of the server."""


def compile_one(source: str, known: tuple[tuple[str, Type], ...], wanted: Iterable[Type]) -> Program:
    """Compile an expression of a policy.

    Args:
        source: its text.
        known: the variables.
        wanted: the types its value may have; none at all means any.

    Raises:
        WrongExpression: it does not compile, or has another type.
    """
    try:
        program = compile_expression(source, known)
    except CompileError as error:
        raise WrongExpression(f"compilation failed: {error}") from error
    allowed = [*wanted]
    if allowed and program.type not in allowed:
        if len(allowed) == 1:
            raise WrongExpression(f"must evaluate to {allowed[0]} but got {_long(program.type)}")
        listed = " ".join(map(_long, allowed))
        raise WrongExpression(f"must evaluate to one of [{listed}] but got {_long(program.type)}")
    return program


def _long(found: Type) -> str:
    """Write a type as Go prints it, which is not as the checker does."""
    return f"{found.name}({', '.join(map(_long, found.of))})" if found.of else found.name


BOOLEAN, TEXT, TEXT_OR_NULL = (BOOL,), (STRING,), (STRING, NULL)


@dataclass
class Scope:
    """The variables of one policy, as they come to be declared one after the other.

    Args:
        params: whether the policy has parameters.
    """

    params: bool
    composed: dict[str, Type] = field(default_factory=dict)
    composes: bool = False

    def names(self) -> tuple[tuple[str, Type], ...]:
        """Give the variables for the next expression."""
        found = variables(params=self.params)
        if not self.composes:
            return found
        return (*found, ("variables", struct("kubernetes.variables", dict(self.composed))))
