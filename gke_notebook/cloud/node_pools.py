"""Node pools through the Container API: retried where that is safe, never doubled, explained where it is refused.

Facts: one operation at a time changes a cluster (seen as HTTP 400 "Cluster is running incompatible operation"); every
call that changes something answers an `Operation` of the API's own, which is polled (google-cloud-container 2.67.0).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from gke_notebook.cloud import credentials
from gke_notebook.cloud.rest import LOOPBACK, CloudError, endpoint
from gke_notebook.cloud.target import Target
from gke_notebook.errors import ClusterUnreachable, NotConnected

Object = dict[str, Any]

_TIMEOUT = 30.0
_TRIES = 6
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 15.0
_TRANSIENT = {429, 500, 502, 503, 504}
_BUSY = re.compile(r"incompatible operation (?P<name>[\w-]+)", re.IGNORECASE)
_ADDRESS = re.compile(r"^[A-Z]+ https?://\S+: ")
_PERMISSIONS = {
    "create": ("container.clusters.update", "roles/container.clusterAdmin"),
    "change": ("container.clusters.update", "roles/container.clusterAdmin"),
    "read": ("container.clusters.get", "roles/container.clusterViewer"),
}


class ClusterBusy(CloudError):  # noqa: N818 - reads as a sentence where it is caught
    """Another operation changes the cluster; this one has to wait.

    Args:
        error: what the API answered.
        operation: the name of the other operation, empty when it was not said.
    """

    def __init__(self, error: CloudError, operation: str) -> None:
        super().__init__(str(error), error.status, error.reason, error.message)
        self.operation = operation


class NodePoolApi:
    """The node pools and operations of one cluster, as the API's JSON has them.

    Args:
        target: the cluster.
        say: told, in words, when a call is made again or waits.
    """

    def __init__(self, target: Target, say: Callable[[str], None] | None = None) -> None:
        self.target = target
        self.say: Callable[[str], None] = say or (lambda _: None)
        self._client: Any = None

    # -- reading

    def cluster(self) -> Object:
        """Give the cluster, with its node pools.

        Raises:
            CloudError: it is refused.
            ClusterUnreachable: the API does not answer.
        """
        return self._read(lambda api: api.get_cluster(name=self.target.name, retry=None, timeout=_TIMEOUT))

    def pools(self) -> list[Object]:
        """Give every node pool of the cluster.

        Raises:
            CloudError: it is refused.
            ClusterUnreachable: the API does not answer.
        """
        found = self._read(lambda api: api.list_node_pools(parent=self.target.name, retry=None, timeout=_TIMEOUT))
        return list(found.get("nodePools") or ())

    def get(self, name: str) -> Object | None:
        """Give a node pool, None when there is none of this name.

        Args:
            name: its name.

        Raises:
            CloudError: it is refused.
            ClusterUnreachable: the API does not answer.
        """
        try:
            return self._read(lambda api: api.get_node_pool(name=self._pool(name), retry=None, timeout=_TIMEOUT))
        except CloudError as error:
            if error.status == 404:
                return None
            raise

    def operation(self, name: str) -> Object:
        """Give an operation.

        Args:
            name: its name.

        Raises:
            CloudError: it is refused, or there is none.
            ClusterUnreachable: the API does not answer.
        """
        full = f"{self.target.parent}/operations/{name}"
        return self._read(lambda api: api.get_operation(name=full, retry=None, timeout=_TIMEOUT))

    def operations(self, pool: str = "") -> list[Object]:
        """Give the operations of the cluster that the API still knows, the newest first.

        Args:
            pool: only those of this node pool; all when empty.

        Raises:
            CloudError: it is refused.
            ClusterUnreachable: the API does not answer.
        """
        found = self._read(lambda api: api.list_operations(parent=self.target.parent, retry=None, timeout=_TIMEOUT))
        of_cluster = f"/clusters/{self.target.cluster}"
        ours = [one for one in found.get("operations") or () if f"{of_cluster}/" in f"{one.get('targetLink', '')}/"]
        if pool:
            ours = [one for one in ours if pool_of(one) == pool]
        return sorted(ours, key=lambda one: str(one.get("startTime", "")), reverse=True)

    # -- changing

    def create(self, body: Object) -> Object:
        """Ask for a node pool, once.

        Args:
            body: as `manifests.node_pool.create_request` gives it.

        Returns:
            The operation.

        Raises:
            ClusterBusy: another operation changes the cluster.
            CloudError: it is refused; 409 when there is a pool of this name.
            ClusterUnreachable: the API does not answer, and whether it was asked is not known.
        """
        request = self._message("CreateNodePoolRequest", {"parent": self.target.name, **body})
        return self._change("create", lambda api: api.create_node_pool(request=request, retry=None, timeout=_TIMEOUT))

    def set_size(self, name: str, count: int) -> Object:
        """Ask for another number of nodes in each zone.

        Args:
            name: the pool.
            count: nodes in each zone.

        Returns:
            The operation.

        Raises:
            ClusterBusy: another operation changes the cluster.
            CloudError: it is refused.
        """
        request = self._message("SetNodePoolSizeRequest", {"name": self._pool(name), "nodeCount": count})
        return self._change("change", lambda api: api.set_node_pool_size(request=request, retry=None, timeout=_TIMEOUT))

    def set_autoscaling(self, name: str, autoscaling: Mapping[str, Any]) -> Object:
        """Ask for other limits of the autoscaler.

        Args:
            name: the pool.
            autoscaling: a ``NodePoolAutoscaling``.

        Returns:
            The operation.

        Raises:
            ClusterBusy: another operation changes the cluster.
            CloudError: it is refused.
        """
        body = {"name": self._pool(name), "autoscaling": dict(autoscaling)}
        request = self._message("SetNodePoolAutoscalingRequest", body)
        return self._change(
            "change", lambda api: api.set_node_pool_autoscaling(request=request, retry=None, timeout=_TIMEOUT)
        )

    def update(self, name: str, changes: Mapping[str, Any]) -> Object:
        """Ask for other settings.

        Args:
            name: the pool.
            changes: fields of an ``UpdateNodePoolRequest``.

        Returns:
            The operation.

        Raises:
            ClusterBusy: another operation changes the cluster.
            CloudError: it is refused.
        """
        request = self._message("UpdateNodePoolRequest", {"name": self._pool(name), **changes})
        return self._change("change", lambda api: api.update_node_pool(request=request, retry=None, timeout=_TIMEOUT))

    def delete(self, name: str) -> Object:
        """Ask for the end of a node pool.

        Args:
            name: the pool.

        Returns:
            The operation.

        Raises:
            ClusterBusy: another operation changes the cluster.
            CloudError: it is refused.
        """
        return self._change(
            "change", lambda api: api.delete_node_pool(name=self._pool(name), retry=None, timeout=_TIMEOUT)
        )

    def cancel(self, name: str) -> None:
        """Ask for the end of an operation.

        Args:
            name: its name.

        Raises:
            CloudError: it is refused: it is done, or its type cannot be cancelled.
        """
        full = f"{self.target.parent}/operations/{name}"
        self._call("change", lambda api: api.cancel_operation(name=full, retry=None, timeout=_TIMEOUT))

    # -- how

    def _pool(self, name: str) -> str:
        return f"{self.target.name}/nodePools/{name}"

    def _read(self, ask: Callable[[Any], Any]) -> Object:
        """Ask again as long as that may help: reading changes nothing."""
        wait = _FIRST_WAIT
        for left in reversed(range(_TRIES)):
            try:
                return _plain(self._call("read", ask))
            except CloudError as error:
                if error.status not in _TRANSIENT or not left:
                    raise
                self.say(f"the GKE API answered {error.status}; asking again in {wait:g} s")
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        raise AssertionError("not reached")

    def _change(self, what: str, ask: Callable[[Any], Any]) -> Object:
        """Ask again only after 429, by which nothing was begun; whoever calls looks whether 5xx has begun something."""
        wait = _FIRST_WAIT
        for left in reversed(range(_TRIES)):
            try:
                return _plain(self._call(what, ask))
            except CloudError as error:
                busy = _BUSY.search(error.message)
                if busy is not None:
                    raise ClusterBusy(error, busy["name"]) from error
                if error.status != 429 or not left:
                    raise
                self.say(f"the GKE API answered 429, too many requests; asking again in {wait:g} s")
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        raise AssertionError("not reached")

    def _api(self) -> Any:
        if self._client is None:
            from google.api_core.client_options import ClientOptions
            from google.cloud import container_v1

            address = self.target.address or endpoint("container")
            self._client = container_v1.ClusterManagerClient(
                transport="rest",
                credentials=self.target.signed_in or credentials.find(),
                client_options=ClientOptions(api_endpoint=address),
            )
            if urlsplit(address).hostname in LOOPBACK:
                # No proxy stands between this machine and itself; the client has no option for it.
                self._client.transport._session.trust_env = False  # noqa: SLF001
        return self._client

    def _message(self, kind: str, body: Object) -> Any:
        from google.cloud import container_v1
        from google.protobuf import json_format

        message = getattr(container_v1, kind)()
        try:
            json_format.ParseDict(body, message._pb)  # noqa: SLF001 - the documented way to a proto-plus message's fields
        except json_format.ParseError as error:
            raise CloudError(
                f"this version of google-cloud-container does not know the request ({error}); "
                "`pip install -U google-cloud-container`", 400, "INVALID_ARGUMENT", str(error),
            ) from error  # fmt: skip
        return message

    def _call(self, what: str, ask: Callable[[Any], Any]) -> Any:
        import google.auth.exceptions
        import requests
        from google.api_core.exceptions import GoogleAPICallError, RetryError

        api = self._api()
        try:
            return ask(api)
        except GoogleAPICallError as error:
            raise self._refused(what, error) from error
        except google.auth.exceptions.RefreshError as error:
            raise NotConnected(
                f"the Google credentials are no longer good ({_line(error)}); "
                "run `gcloud auth application-default login`"
            ) from error
        except (requests.RequestException, google.auth.exceptions.TransportError, RetryError) as error:
            where = self.target.address or endpoint("container")
            raise ClusterUnreachable(f"the GKE API at {where} does not answer ({_line(error)})") from error

    def _refused(self, what: str, error: Any) -> CloudError:
        # Its REST transport puts the method and the address before the API's own text.
        code, message = int(error.code or 0), _ADDRESS.sub("", _line(error.message))
        text = f"the GKE API answered {code}: {message}"
        if code == 401:
            text = f"the GKE API does not accept the Google credentials: {message}"
        elif code == 403 and "quota" in message.lower():
            text = f"{message} Ask for more quota, or for fewer nodes"
        elif code == 403:
            permission, role = _PERMISSIONS[what]
            text = (
                f"you may not do this to the node pools of {self.target}: {message}; "
                f"ask for the permission {permission}, which is in {role}"
            )
        return CloudError(text, code, str(getattr(error, "reason", "") or ""), message)


def pool_of(operation: Mapping[str, Any]) -> str:
    """Name the node pool that an operation works on, empty for one of the cluster.

    Args:
        operation: as the API shows it.
    """
    head, found, tail = str(operation.get("targetLink", "")).partition("/nodePools/")
    return tail if found and head else ""


def _plain(message: Any) -> Object:
    from google.protobuf import json_format

    found: Object = json_format.MessageToDict(message._pb)  # noqa: SLF001 - the documented way, as above
    return found


def _line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 600 else text[:597] + "..."
