"""The kinds the sandbox's API server serves, as a real server announces them in discovery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .schema import Type

# What a registry-backed resource offers (Kubernetes 1.34, discovery of kube-apiserver).
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS = "status"
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
_STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True)
class Subresource:
    """A path below an object.

    Args:
        name: the last word of the path, for example ``status``.
        verbs: what may be done there.
        kind: the kind of its bodies; empty means the parent's.
        group: the API group of that kind.
        version: the API version of that kind.
    """

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""


class Rules(Protocol):
    """What a kind brings along that is not written into the rooms of this package: its types, checks and columns."""

    @property
    def type(self) -> Type:
        """The type of its objects, for field ownership."""

    @property
    def strategic(self) -> bool:
        """Whether its objects take strategic merge patches."""

    def check_fields(self, kind: Kind, obj: dict[str, Any], mode: str, duplicates: list[str], patch: str | None) -> Any:
        """As `validation.check_unknown_fields`."""

    def check_applied(self, obj: dict[str, Any]) -> list[str]:
        """Give the paths of an applied configuration that are not known, and remove them and all nulls in place."""

    def set_defaults(self, obj: dict[str, Any]) -> None:
        """As `validation.set_defaults`."""

    def begin(self, obj: dict[str, Any]) -> None:
        """Set the generation and status a new object begins with."""

    def carry_over(self, new: dict[str, Any], old: dict[str, Any], subresource: str) -> None:
        """Put back what an update does not write, and count the generation."""

    def check_create(self, kind: Kind, obj: dict[str, Any]) -> list[str]:
        """As `validation.prepare_create`."""

    def check_update(self, kind: Kind, new: dict[str, Any], old: dict[str, Any], subresource: str) -> list[str]:
        """As `validation.prepare_update`."""

    def columns(self) -> list[dict[str, Any]]:
        """Give the column definitions of its Tables."""

    def cells(self, obj: dict[str, Any], now: Any) -> list[Any]:
        """Give the cells of one object."""

    def selectable(self) -> dict[str, str]:
        """Give the fields a field selector may name besides name and namespace, with their JSON types."""


@dataclass(frozen=True)
class Kind:
    """One resource of the API and everything discovery says about it.

    Args:
        group: the API group, empty for the core group.
        version: the API version, for example ``v1``.
        plural: the word in the path.
        singular: the word kubectl accepts for one.
        kind: the word in a manifest.
        namespaced: whether objects live in a namespace.
        short_names: abbreviations kubectl accepts, for example ``po``.
        categories: groups kubectl accepts, for example ``all``.
        verbs: what may be done with the resource.
        subresources: the paths below an object.
        rules: what the kind brings along; None for the kinds that the schema table describes.

    Example:
        >>> find("batch", "v1", "jobs").resource_name
        'jobs.batch'
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    rules: Rules | None = field(default=None, compare=False, repr=False)

    @property
    def api_version(self) -> str:
        """The `apiVersion` of a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        """The `kind` of a list answer."""
        return f"{self.kind}List"

    @property
    def resource_name(self) -> str:
        """The name in error texts: ``pods``, ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def kind_name(self) -> str:
        """The kind in error texts: ``Pod``, ``Job.batch``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def stored(self) -> bool:
        """Whether objects of the kind are kept; reviews are answered and forgotten."""
        return "get" in self.verbs

    def subresource(self, name: str) -> Subresource | None:
        """Give the subresource of that name, if there is one.

        Args:
            name: the last word of the path.
        """
        return next((each for each in self.subresources if each.name == name), None)


def _token() -> Subresource:
    return Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io", "v1")


def _status() -> Subresource:
    return Subresource(STATUS, _STATUS_VERBS)


KINDS: tuple[Kind, ...] = (
    Kind("", "v1", "configmaps", "configmap", "ConfigMap", short_names=("cm",)),
    Kind("", "v1", "endpoints", "endpoints", "Endpoints", short_names=("ep",)),
    Kind("", "v1", "events", "event", "Event", short_names=("ev",)),
    Kind("", "v1", "limitranges", "limitrange", "LimitRange", short_names=("limits",)),
    Kind(
        "", "v1", "namespaces", "namespace", "Namespace", namespaced=False, short_names=("ns",),
        # Real servers have no deletecollection for namespaces: one request must not empty a cluster.
        verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
        subresources=(Subresource("finalize", ("update",)), _status()),
    ),
    Kind("", "v1", "nodes", "node", "Node", namespaced=False, short_names=("no",), subresources=(_status(),)),
    Kind(
        "", "v1", "pods", "pod", "Pod", short_names=("po",), categories=("all",),
        subresources=(
            Subresource("binding", ("create",), "Binding"),
            Subresource("eviction", ("create",), "Eviction", "policy", "v1"),
            Subresource("log", ("get",)),
            _status(),
        ),
    ),
    Kind(
        "", "v1", "resourcequotas", "resourcequota", "ResourceQuota", short_names=("quota",),
        subresources=(_status(),),
    ),
    Kind("", "v1", "secrets", "secret", "Secret"),
    Kind(
        "", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", short_names=("sa",),
        subresources=(_token(),),
    ),
    Kind(
        "", "v1", "services", "service", "Service", short_names=("svc",), categories=("all",),
        subresources=(_status(),),
    ),
    Kind(
        ADMISSION, "v1", "validatingadmissionpolicies", "validatingadmissionpolicy", "ValidatingAdmissionPolicy",
        namespaced=False, categories=("api-extensions",), subresources=(_status(),),
    ),
    Kind(
        ADMISSION, "v1", "validatingadmissionpolicybindings", "validatingadmissionpolicybinding",
        "ValidatingAdmissionPolicyBinding", namespaced=False, categories=("api-extensions",),
    ),
    Kind(
        "authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview",
        namespaced=False, verbs=("create",),
    ),
    Kind(
        "authorization.k8s.io", "v1", "localsubjectaccessreviews", "localsubjectaccessreview",
        "LocalSubjectAccessReview", verbs=("create",),
    ),
    Kind(
        "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview",
        namespaced=False, verbs=("create",),
    ),
    Kind(
        "authorization.k8s.io", "v1", "selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview",
        namespaced=False, verbs=("create",),
    ),
    Kind(
        "authorization.k8s.io", "v1", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview",
        namespaced=False, verbs=("create",),
    ),
    Kind("batch", "v1", "jobs", "job", "Job", categories=("all",), subresources=(_status(),)),
    Kind("coordination.k8s.io", "v1", "leases", "lease", "Lease"),
    Kind(RBAC, "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", namespaced=False),
    Kind(RBAC, "v1", "clusterroles", "clusterrole", "ClusterRole", namespaced=False),
    Kind(RBAC, "v1", "rolebindings", "rolebinding", "RoleBinding"),
    Kind(RBAC, "v1", "roles", "role", "Role"),
    Kind(
        "scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass",
        namespaced=False, short_names=("pc",),
    ),
)  # fmt: skip

_BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
_BY_KIND = {(kind.api_version, kind.kind): kind for kind in KINDS}

# Bodies that are sent to subresources; the schema covers them, no path of their own serves them.
BODY_KINDS: tuple[Kind, ...] = (
    Kind("", "v1", "bindings", "binding", "Binding", verbs=("create",)),
    Kind("policy", "v1", "evictions", "eviction", "Eviction", verbs=("create",)),
    Kind("meta.k8s.io", "v1", "deleteoptions", "deleteoptions", "DeleteOptions", namespaced=False, verbs=()),
    Kind("authentication.k8s.io", "v1", "tokenrequests", "tokenrequest", "TokenRequest", verbs=("create",)),
)
BINDING, EVICTION, DELETE_OPTIONS, TOKEN_REQUEST = BODY_KINDS


def find(group: str, version: str, plural: str) -> Kind | None:
    """Find the kind a path is about.

    Args:
        group: the API group, empty for the core group.
        version: the API version.
        plural: the resource's word in the path.

    Returns:
        The kind, or None when it is not served.
    """
    return _BY_PATH.get((group, version, plural))


def find_kind(api_version: str, kind: str) -> Kind | None:
    """Find the kind of a manifest.

    Args:
        api_version: the manifest's `apiVersion`.
        kind: the manifest's `kind`.

    Returns:
        The kind, or None when it is not served.
    """
    return _BY_KIND.get((api_version, kind))
