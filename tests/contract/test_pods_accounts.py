"""The service account of a pod, its token and its mounts, on both servers."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec

from gke_notebook.cluster.client import MERGE_PATCH
from gke_notebook.cluster.resources import CONFIG_MAPS, PODS, SERVICE_ACCOUNTS
from tests.contract.both import Both, Side

Object = dict[str, Any]
PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def pod(name: str, **spec: Any) -> Object:
    spec = {"schedulerName": "nobody", "containers": [{"name": "main", "image": "x"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def test_the_mounts_of_the_token(both: Both):
    """Which containers get the token, and where what is mounted already is left alone."""

    async def scenario(side: Side) -> Any:
        for name, mounts in (("never", False), ("always", True)):
            body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
            await side.client.create(SERVICE_ACCOUNTS, {**body, "automountServiceAccountToken": mounts}, side.namespace)
        own = {"name": "main", "image": "x", "volumeMounts": [{"name": "v", "mountPath": PATH}]}
        other = {"name": "other", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
        named = {"name": "main", "image": "x", "volumeMounts": [{"name": "kube-api-access-own", "mountPath": "/a"}]}
        scratch = {"name": "v", "emptyDir": {}}
        for body in (
            pod("plain"),
            pod("refuses", automountServiceAccountToken=False),
            pod("account-refuses", serviceAccountName="never"),
            pod("pod-wants", serviceAccountName="never", automountServiceAccountToken=True),
            pod("pod-refuses", serviceAccountName="always", automountServiceAccountToken=False),
            pod("account-wants", serviceAccountName="always"),
            pod("init", initContainers=[{"name": "first", "image": "x"}, {"name": "second", "image": "x"}]),
            pod("mounted", containers=[own], volumes=[scratch]),
            pod("one-mounted", containers=[own, other], volumes=[scratch]),
            pod("named", containers=[named], volumes=[{"name": "kube-api-access-own", "emptyDir": {}}]),
            pod("wrong", containers=[own]),
            pod("nobody", serviceAccountName="nobody"),
        ):
            await side.ask("POST", side.path(PODS), body)
        await side.ask("POST", side.path(PODS), pod("dry"), params={"dryRun": "All"})
        params = {"fieldManager": "me"}
        patch = "application/apply-patch+yaml"
        await side.ask("PATCH", side.path(PODS, "applied"), pod("applied"), params=params, content_type=patch)
        await side.ask("PATCH", side.path(PODS, "applied"), pod("applied"), params=params, content_type=patch)

    await both.compare(scenario, kind="Pod", feature="the token of the service account, mounted")


async def test_only_secrets_of_the_account(both: Both):
    """An account that may say which secrets its pods use."""

    async def scenario(side: Side) -> Any:
        meta = {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
        body |= {"secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]}
        found = [(await side.ask("POST", side.path(SERVICE_ACCOUNTS), body, record=False))["headers"]]
        variable = {"name": "V", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}
        main = {"name": "main", "image": "x"}
        for more in (
            {},
            {"volumes": [{"name": "v", "secret": {"secretName": "own"}}]},
            {"volumes": [{"name": "v", "secret": {"secretName": "other"}}]},
            {"containers": [{**main, "env": [variable]}]},
            {"containers": [{**main, "envFrom": [{"secretRef": {"name": "other"}}]}]},
            {"initContainers": [{"name": "first", "image": "x", "env": [variable]}]},
            {"initContainers": [{"name": "first", "image": "x", "envFrom": [{"secretRef": {"name": "other"}}]}]},
            {"imagePullSecrets": [{"name": "pull"}, {"name": "other"}]},
        ):
            params = {"dryRun": "All"}
            body = pod("p", serviceAccountName="strict", **more)
            answer = await side.ask("POST", side.path(PODS), body, params=params, record=False)
            found.append([answer["status"], answer["body"].get("message"), answer["body"].get("details")])
        for change in ({"labels": {"a": "b"}}, {"annotations": None}, {"annotations": meta["annotations"]}):
            path = side.path(SERVICE_ACCOUNTS, "strict")
            answer = await side.ask("PATCH", path, {"metadata": change}, content_type=MERGE_PATCH, record=False)
            found.append(answer["headers"])
        return found

    await both.compare(scenario, kind="ServiceAccount", feature="enforce-mountable-secrets")


async def test_the_accounts_own_absence(both: Both):
    """The account of a namespace comes again when it is deleted, and so does the authority's ConfigMap."""

    async def scenario(side: Side) -> Any:
        found = []
        for resource, name in ((SERVICE_ACCOUNTS, "default"), (CONFIG_MAPS, "kube-root-ca.crt")):
            before = await _until(side, resource, name, lambda _: True)
            await side.client.delete(resource, name, side.namespace)
            await _until(
                side, resource, name, lambda item, uid=before["metadata"]["uid"]: item["metadata"]["uid"] != uid
            )
        await side.ask("POST", side.path(PODS), pod("after"))
        body = {"data": {"ca.crt": "mine", "more": "x"}, "metadata": {"annotations": None, "labels": {"a": "b"}}}
        await side.client.patch(CONFIG_MAPS, "kube-root-ca.crt", body, side.namespace, content_type=MERGE_PATCH)
        item = await _until(side, CONFIG_MAPS, "kube-root-ca.crt", lambda item: item["data"]["ca.crt"] != "mine")
        assert item["data"].pop("ca.crt").startswith("-----BEGIN CERTIFICATE-----")
        found.append({key: item["metadata"].get(key) for key in ("name", "labels", "annotations")})
        return [found, side.transcript]

    await both.compare(scenario, kind="ServiceAccount", feature="default account and root authority of a namespace")


async def _until(side: Side, resource: Any, name: str, wanted: Any) -> Object:
    for _ in range(600):
        found = await side.client.list(resource, side.namespace, field_selector=f"metadata.name={name}")
        if found["items"] and wanted(found["items"][0]):
            return found["items"][0]
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} did not come to be as it should")


async def test_the_claims_of_a_mounted_token(both: Both):
    """A token as kubelets ask for it, and others: what they say, and for how long they are good."""

    async def scenario(side: Side) -> Any:
        made = await side.client.create(PODS, pod("p"), side.namespace)
        bound = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]}
        found: list[Any] = [made["metadata"]["uid"]]
        for spec in (
            {"expirationSeconds": 3607, "boundObjectRef": bound},
            {"expirationSeconds": 3607},
            {"expirationSeconds": 3600, "boundObjectRef": bound},
            {"expirationSeconds": 3607, "boundObjectRef": bound, "audiences": ["vault"]},
        ):
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            answer = await side.ask("POST", side.path(SERVICE_ACCOUNTS, "default", "token"), body, record=False)
            text = answer["body"]["status"]["token"].split(".")[1]
            claims = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            about = claims["kubernetes.io"]
            issued = claims["iat"]
            lasts = [claims["exp"] - issued, claims["nbf"] - issued, about.pop("warnafter", issued) - issued]
            audiences = ["<own>" if each == claims["iss"] else each for each in claims["aud"]]
            found.append([about, sorted(claims), audiences, claims["sub"], lasts])
        return found

    await both.compare(scenario, kind="ServiceAccount", feature="claims of mounted tokens")
