"""CustomResourceDefinitions as a kind of this server.

Source: k8s.io/apiextensions-apiserver v0.34 (`pkg/registry/customresourcedefinition`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gke_notebook.sandbox.apiserver import status, validation
from gke_notebook.sandbox.apiserver.kinds import STATUS, Kind, Subresource
from gke_notebook.sandbox.apiserver.schema import Type
from gke_notebook.sandbox.apiserver.validation.fields import FieldTypeError, normalize
from gke_notebook.sandbox.apiserver.validation.metadata import check_metadata, check_metadata_update

from . import definition_checks
from .definition_type import definition_type

Object = dict[str, Any]


class DefinitionRules:
    """The rules of CustomResourceDefinitions."""

    @property
    def type(self) -> Type:
        """The type of a definition."""
        return definition_type()

    @property
    def strategic(self) -> bool:
        """Whether its objects take strategic merge patches."""
        return True

    def check_fields(self, kind: Kind, obj: Object, mode: str, duplicates: list[str], patch: str | None) -> list[str]:
        """Check names and types of all fields and bring the object into the stored form, in place.

        Args:
            kind: the kind.
            obj: the object.
            mode: the `fieldValidation` parameter.
            duplicates: fields that the body named twice.
            patch: the text to quote when a patch has made the object.

        Raises:
            StatusError: 400 or 422.
        """
        try:
            unknown = normalize(self.type, obj)
        except FieldTypeError as error:
            raise validation.undecodable(kind, str(error), patch) from error
        if mode not in {validation.STRICT, validation.WARN}:
            return []
        found = [f"duplicate field {status.quote(path)}" for path in duplicates]
        found += [f"unknown field {status.quote(path)}" for path in unknown]
        if found and mode == validation.STRICT:
            raise validation.undecodable(kind, "strict decoding error: " + ", ".join(found), patch)
        return found

    def check_applied(self, obj: Object) -> list[str]:
        """Give the paths of an applied configuration that are not known, and remove them and all nulls in place.

        Args:
            obj: the configuration.

        Raises:
            FieldTypeError: a value has the wrong type.
        """
        return normalize(self.type, obj, exact=True)

    def set_defaults(self, obj: Object) -> None:
        """Fill in, in place, what a client may leave out.

        Args:
            obj: the definition.
        """
        definition_checks.set_defaults(obj)

    def begin(self, obj: Object) -> None:
        """Set the status and generation a new definition begins with, in place.

        Args:
            obj: the definition.
        """
        stored = definition_checks.storage(obj).get("name")
        obj[STATUS] = {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": [stored] if stored else None,
        }
        obj["metadata"]["generation"] = 1

    def carry_over(self, new: Object, old: Object, subresource: str) -> None:
        """Put back what an update does not write, and count the generation.

        Args:
            new: the definition after the change, changed in place.
            old: the definition as stored.
            subresource: ``status`` or empty.
        """
        if subresource == STATUS:
            new["spec"] = old["spec"]
            return
        definition_checks.set_defaults(new)
        new[STATUS] = old.get(STATUS) or {}
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1
        stored = definition_checks.storage(new).get("name")
        versions = new[STATUS].get("storedVersions") or []
        if stored and stored not in versions:
            new[STATUS] = {**new[STATUS], "storedVersions": [*versions, stored]}

    def check_create(self, kind: Kind, obj: Object) -> list[str]:
        """Check a new definition; gives warnings.

        Args:
            kind: the kind.
            obj: the definition.

        Raises:
            StatusError: 422.
        """
        self._refuse(kind, obj, check_metadata(kind, obj["metadata"]) + definition_checks.check(obj))
        return definition_checks.warnings(obj)

    def check_update(self, kind: Kind, new: Object, old: Object, subresource: str) -> list[str]:
        """Check a changed definition; gives warnings.

        Args:
            kind: the kind.
            new: the definition after the change.
            old: the definition as stored.
            subresource: ``status`` or empty.

        Raises:
            StatusError: 422.
        """
        errors = check_metadata_update(kind, new["metadata"], old["metadata"])
        if not subresource:
            errors += definition_checks.check(new, old)
            versions = {each.get("name") for each in new["spec"].get("versions") or ()}
            for index, name in enumerate((new.get(STATUS) or {}).get("storedVersions") or ()):
                if name not in versions:
                    text = (
                        f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                        f"spec.versions until a storage migration ensures no data remains persisted in {name} and "
                        f"removes {name} from status.storedVersions"
                    )
                    errors.append(status.invalid_value(f"status.storedVersions[{index}]", name, text))
        self._refuse(kind, new, errors)
        same = subresource or new.get("spec") == old.get("spec")
        return [] if same else definition_checks.warnings(new)

    @staticmethod
    def _refuse(kind: Kind, obj: Object, errors: list[status.FieldError]) -> None:
        if errors:
            raise status.invalid(kind, obj["metadata"].get("name", ""), errors)

    def columns(self) -> list[Object]:
        """Give the column definitions of a Table."""
        common = {"description": "", "priority": 0}
        name = {"name": "Name", "type": "string", "format": "name", **common}
        return [name, {"name": "Created At", "type": "date", "format": "", **common}]

    def cells(self, obj: Object, now: datetime) -> list[Any]:
        """Give the cells of one definition.

        Args:
            obj: the definition.
            now: not looked at.
        """
        del now
        return [obj["metadata"].get("name", ""), obj["metadata"].get("creationTimestamp", "")]

    def selectable(self) -> dict[str, str]:
        """Give the fields a field selector may name besides the name: none."""
        return {}


DEFINITIONS = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition",
    namespaced=False, short_names=("crd", "crds"), categories=("api-extensions",),
    subresources=(Subresource(STATUS, ("get", "patch", "update")),), rules=DefinitionRules(),
)  # fmt: skip
