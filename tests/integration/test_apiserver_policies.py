"""Admission policies over HTTP: they hold, for deletions and dry runs too, and cannot keep the server busy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import CONFIG_MAPS, Resource
from gke_notebook.errors import ApiError
from tests.support.apiserver import running_server

GROUP = "admissionregistration.k8s.io"
POLICIES = Resource(GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
BINDINGS = Resource(
    GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running_server() as found, Client(found) as client:
        yield client


async def bind(client: Client, expression: str, *operations: str) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": list(operations), "resources": ["configmaps"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": "no", "reason": "Forbidden"}],
    }
    bound = {"policyName": "p", "validationActions": ["Deny"]}
    for resource, body in ((POLICIES, spec), (BINDINGS, bound)):
        await client.create(
            resource,
            {"apiVersion": f"{GROUP}/v1", "kind": resource.kind, "metadata": {"name": "p"}, "spec": body},
        )


def config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_a_policy_holds_from_its_creation_to_its_deletion(client: Client):
    await bind(client, "'a' in object.data", "CREATE")
    with pytest.raises(ApiError) as raised:
        await client.create(CONFIG_MAPS, config("x", b="1"), "default")
    assert raised.value.status == 403
    assert "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no" in str(raised.value)
    assert (await client.create(CONFIG_MAPS, config("y", a="1"), "default"))["data"] == {"a": "1"}
    await client.delete(BINDINGS, "p")
    await client.create(CONFIG_MAPS, config("x", b="1"), "default")
    found = await client.get(POLICIES, "p")
    assert found["status"] == {"observedGeneration": 1, "typeChecking": {}}


async def test_what_may_not_be_deleted_stays(client: Client):
    await client.create(CONFIG_MAPS, config("x", keep="yes"), "default")
    await bind(client, "!('keep' in oldObject.data)", "DELETE")
    with pytest.raises(ApiError):
        await client.delete(CONFIG_MAPS, "x", "default")
    assert (await client.get(CONFIG_MAPS, "x", "default"))["data"] == {"keep": "yes"}


async def test_an_expression_cannot_keep_the_server_busy(client: Client):
    words = "'a b c d e f g h i j k l m n o p q r s t u v w x y z'.split(' ')"
    text = "true"
    for name in "abcdefgh":
        text = f"{words}.all({name}, {text})"
    await bind(client, text, "CREATE")
    with pytest.raises(ApiError) as raised:
        await client.create(CONFIG_MAPS, config("x"), "default")
    assert "operation cancelled: actual cost limit exceeded" in str(raised.value)
