"""The service account of a pod, on both servers."""

from __future__ import annotations

from typing import Any

from gke_notebook.cluster.resources import PODS, SERVICE_ACCOUNTS
from tests.contract.both import Both, Side

Object = dict[str, Any]


def pod(metadata: Object, **spec: Any) -> Object:
    spec = {"containers": [{"name": "main", "image": "x"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def test_the_account_has_to_be_there(both: Both):
    async def scenario(side: Side) -> Any:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        await side.client.create(SERVICE_ACCOUNTS, {**account, "imagePullSecrets": [{"name": "pull"}]}, side.namespace)
        found = []
        for body in (
            pod({"name": "a"}),
            pod({"name": "b"}, serviceAccountName="robot"),
            pod({"name": "c"}, serviceAccount="robot", imagePullSecrets=[{"name": "own"}]),
            pod({"name": "d"}, serviceAccountName="nobody"),
            pod({"generateName": "e-"}, serviceAccountName="nobody"),
            pod({"name": "f"}, serviceAccountName="nobody", priorityClassName="none"),
        ):
            answer = (await side.ask("POST", side.path(PODS), body))["body"]
            if answer["kind"] == "Status":
                found.append([answer["code"], answer["message"], answer["details"]])
                continue
            spec = answer["spec"]
            found.append([spec.get(key) for key in ("serviceAccountName", "serviceAccount", "imagePullSecrets")])
        return found

    await both.compare(scenario, kind="ServiceAccount", feature="the account of a pod")
