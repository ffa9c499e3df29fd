"""What an ``UpdateNodePoolRequest`` changes in a node pool, and whether its machines have to be made again; pure."""

from __future__ import annotations

from typing import Any

from gke_notebook.sandbox.gke.failures import ApiFailure, invalid
from gke_notebook.sandbox.gke.operations import MOVE, UPDATE, UPGRADE
from gke_notebook.sandbox.gke.resources import GKE_VERSION

Object = dict[str, Any]

# Where a field of the request goes, and whether it takes effect in new machines only.
_FIELDS: dict[str, tuple[str, bool]] = {
    "imageType": ("config.imageType", True),
    "workloadMetadataConfig": ("config.workloadMetadataConfig", True),
    "linuxNodeConfig": ("config.linuxNodeConfig", True),
    "kubeletConfig": ("config.kubeletConfig", True),
    "gcfsConfig": ("config.gcfsConfig", True),
    "confidentialNodes": ("config.confidentialNodes", True),
    "gvnic": ("config.gvnic", True),
    "fastSocket": ("config.fastSocket", True),
    "loggingConfig": ("config.loggingConfig", True),
    "windowsNodeConfig": ("config.windowsNodeConfig", True),
    "accelerators": ("config.accelerators", True),
    "machineType": ("config.machineType", True),
    "diskType": ("config.diskType", True),
    "diskSizeGb": ("config.diskSizeGb", True),
    "bootDisk": ("config.bootDisk", True),
    "containerdConfig": ("config.containerdConfig", True),
    "storagePools": ("config.storagePools", True),
    "maxRunDuration": ("config.maxRunDuration", True),
    "flexStart": ("config.flexStart", True),
    "consolidationDelay": ("config.consolidationDelay", False),
    "taintConfig": ("config.taintConfig", False),
    "resourceManagerTags": ("config.resourceManagerTags", False),
    "upgradeSettings": ("upgradeSettings", False),
    "nodeNetworkConfig": ("networkConfig", False),
    "queuedProvisioning": ("queuedProvisioning", False),
    "nodeDrainConfig": ("nodeDrainConfig", False),
    "maintenancePolicy": ("maintenancePolicy", False),
    "locations": ("locations", False),
}
# Fields that wrap their value in a message of their own.
_WRAPPED = {
    "labels": ("labels", "config.labels"),
    "resourceLabels": ("labels", "config.resourceLabels"),
    "taints": ("taints", "config.taints"),
    "tags": ("tags", "config.tags"),
}
_NAMING = ("name", "projectId", "zone", "clusterId", "nodePoolId", "etag", "image", "imageProject")


def change(request: Object) -> tuple[str, Object]:
    """Give the type of the operation and what it writes, by the field's path.

    Args:
        request: the ``UpdateNodePoolRequest``, read by `wire.parse`.

    Raises:
        ApiFailure: it changes nothing, or asks for a version that does not exist.
    """
    made: Object = {}
    again = False
    for field, value in request.items():
        if field in _FIELDS:
            path, new_machines = _FIELDS[field]
            made[path] = value
            again = again or new_machines
        elif field in _WRAPPED:
            inner, path = _WRAPPED[field]
            empty: Object | list[Any] = [] if inner in ("taints", "tags") else {}
            made[path] = value.get(inner, empty)
        elif field == "nodeVersion":
            if value not in ("-", "", "latest", GKE_VERSION):
                raise invalid(f'Node version "{value}" is unsupported.')
            again = again or value != ""
        elif field not in _NAMING:
            raise ApiFailure(501, f"The sandbox does not change {field} of a node pool.")
    if not made and not again:
        raise invalid("Must specify a field to update.")
    if "locations" in made:
        if len(made) > 1 or again:
            raise invalid("locations cannot be changed together with other fields.")
        return MOVE, made
    return (UPGRADE if again else UPDATE), made


def applied(spec: Object, changes: Object) -> Object:
    """Give a pool's settings with a change in them.

    Args:
        spec: the ``NodePool``; it stays as it is.
        changes: from `change`.
    """
    made = {**spec, "config": dict(spec["config"])}
    for path, value in changes.items():
        parent, _, last = path.rpartition(".")
        target = made[parent] if parent else made
        target[last] = value
    return made
