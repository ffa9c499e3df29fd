"""What every namespace has: the `default` ServiceAccount and the ConfigMap with the cluster's certificate authority."""

from __future__ import annotations

import ssl

from gke_notebook.cluster.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, Resource
from gke_notebook.errors import ApiError
from gke_notebook.sandbox.controllers.context import Context
from gke_notebook.sandbox.controllers.meta import Object, is_deleting
from gke_notebook.sandbox.controllers.workqueue import WorkQueue

SERVICE_ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = "kubernetes.io/description"
# As the real controller says it (kubernetes v1.34, pkg/controller/certificates/rootcacertpublisher).
_ROOT_CA_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def authorities(context: ssl.SSLContext | None) -> str:
    """Give the certificate authorities a TLS context trusts, as PEM.

    Args:
        context: the connection's TLS context, None for plain HTTP.
    """
    if context is None:
        return ""
    return "".join(ssl.DER_cert_to_PEM_cert(item) for item in context.get_ca_certs(binary_form=True))


class ServiceAccountController:
    """Fills every namespace with what it must have.

    Args:
        context: what all controllers share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._namespaces = context.informers.store(NAMESPACES)
        self._accounts = context.informers.store(SERVICE_ACCOUNTS)
        self._maps = context.informers.store(CONFIG_MAPS)
        self._queue: WorkQueue[str] = WorkQueue("serviceaccount", self._sync, workers=4)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._context.synced((NAMESPACES, SERVICE_ACCOUNTS, CONFIG_MAPS))
        self._namespaces.listen(self._namespace_changed)
        self._accounts.listen(lambda item, previous: self._object_changed(item, previous, SERVICE_ACCOUNT))
        self._maps.listen(lambda item, previous: self._object_changed(item, previous, ROOT_CA))
        await self._queue.run()

    def _namespace_changed(self, item: Object | None, previous: Object | None) -> None:
        if item is not None and previous is None:
            self._queue.add(item["metadata"]["name"])

    def _object_changed(self, item: Object | None, previous: Object | None, name: str) -> None:
        seen = item or previous
        if seen is not None and seen["metadata"]["name"] == name and (item is None or name == ROOT_CA):
            self._queue.add(seen["metadata"].get("namespace", ""))

    async def _sync(self, name: str) -> None:
        namespace = self._namespaces.get("", name)
        if namespace is None or is_deleting(namespace):
            return
        await self._ensure(SERVICE_ACCOUNTS, name, SERVICE_ACCOUNT, {})
        pem = authorities(self._context.client.connection.tls)
        await self._ensure(CONFIG_MAPS, name, ROOT_CA, {"data": {"ca.crt": pem}}, {_DESCRIPTION: _ROOT_CA_DESCRIPTION})

    async def _ensure(
        self, resource: Resource, namespace: str, name: str, content: Object, annotations: Object | None = None
    ) -> None:
        store = self._context.informers.store(resource)
        present = store.get(namespace, name)
        if present is not None:
            given = present["metadata"].get("annotations") or {}
            missing = {key: value for key, value in (annotations or {}).items() if not given.get(key)}
            if missing or any(present.get(key) != value for key, value in content.items()):
                described = {"metadata": {"annotations": annotations}} if annotations else {}
                await self._context.patch(resource, present, {**_without(present, content), **described})
            return
        metadata = {"name": name, "namespace": namespace, **({"annotations": annotations} if annotations else {})}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **content}
        try:
            store.assume(await self._context.call(self._context.client.create(resource, body, namespace)))
        except ApiError as error:
            # Made by somebody else meanwhile, or the namespace ends: neither needs anything from us.
            if error.reason not in ("AlreadyExists", "NotFound", "Forbidden"):
                raise


def _without(present: Object, content: Object) -> Object:
    """Give a merge patch that leaves nothing in the maps of the content but the content."""
    patch: Object = {}
    for field, wanted in content.items():
        patch[field] = {**dict.fromkeys(present.get(field) or ()), **wanted}
    return patch
