"""Policies, bindings and how to wait until a real server applies them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from gke_notebook.cluster.resources import Resource
from tests.contract.both import Side

Object = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
POLICIES = Resource(GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
BINDINGS = Resource(
    GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)


def rule(*resources: str, group: str = "", operations: tuple[str, ...] = ("CREATE", "UPDATE"), **more: Any) -> Object:
    return {
        "apiGroups": [group], "apiVersions": ["*"], "operations": list(operations), "resources": list(resources),
        **more,
    }  # fmt: skip


def policy(name: str, *validations: Object | str, rules: list[Object] | None = None, **spec: Any) -> Object:
    constraints = {"resourceRules": rules or [rule("configmaps")], **spec.pop("constraints", {})}
    said = [{"expression": each} if isinstance(each, str) else each for each in validations]
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {"matchConstraints": constraints, "validations": said, **spec},
    }  # fmt: skip


def binding(name: str, side: Side, *actions: str, policy_name: str = "", **spec: Any) -> Object:
    """Bind a policy in the scenario's own namespace only: the real server is shared."""
    own = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": side.namespace}}}
    resources = {**own, **spec.pop("resources", {})}
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {
            "policyName": policy_name or name, "validationActions": list(actions or ("Deny",)),
            "matchResources": resources, **spec,
        },
    }  # fmt: skip


@contextlib.asynccontextmanager
async def applied(side: Side, *bodies: Object, probes: dict[str, tuple[Resource, Object]]) -> AsyncIterator[None]:
    """Create policies and bindings for a while, and wait until requests feel them: a real server takes its time.

    Args:
        side: the server.
        bodies: the policies and bindings.
        probes: for each policy, by its name, an object that it says something of.
    """
    resources = {"ValidatingAdmissionPolicy": POLICIES, "ValidatingAdmissionPolicyBinding": BINDINGS}
    try:
        for body in bodies:
            await side.client.create(resources[body["kind"]], body)
        for name, (resource, body) in probes.items():
            await felt(side, resource, body, name)
        yield
    finally:
        for body in reversed(bodies):
            await side.client.delete(resources[body["kind"]], body["metadata"]["name"])


async def felt(side: Side, resource: Resource, body: Object, name: str) -> None:
    """Wait until a policy says something of an object, by warning or refusal."""
    for _ in range(600):
        answer = await side.ask("POST", side.path(resource), body, params={"dryRun": "All"}, record=False)
        said = answer["headers"].get("Warning", "") + str(answer["body"].get("message", ""))
        if f"'{name}'" in said:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the policy {name} says nothing of {body}")


def says(answer: Object) -> Any:
    """Give what counts of an answer: the refusal, or that there is none, and the warnings."""
    body, warned = answer["body"], answer["headers"].get("Warning", "")
    if answer["status"] < 400:
        return [answer["status"], warned]
    return [answer["status"], body["reason"], body["message"], body["details"], warned]
