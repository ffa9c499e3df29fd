"""Objects made and changed as the API server makes and changes them, without a server."""

from __future__ import annotations

import copy

import pytest

from gke_notebook.sandbox.apiserver.kinds import KINDS
from gke_notebook.sandbox.apiserver.status import StatusError
from gke_notebook.sandbox.apiserver.validation import check_unknown_fields, prepare_create, prepare_update

KIND = {kind.kind: kind for kind in KINDS}
UID = "u-1"


def made(kind, obj):
    """Create an object as the server does; give it and the warnings."""
    found = copy.deepcopy(obj)
    meta = found.setdefault("metadata", {})
    if KIND[kind].namespaced:
        meta.setdefault("namespace", "d")
    meta.update(uid=UID, resourceVersion="1")
    check_unknown_fields(KIND[kind], found, "Strict")
    warnings = prepare_create(KIND[kind], found)
    return found, warnings


def refused(kind, obj):
    with pytest.raises(StatusError) as caught:
        made(kind, obj)
    error = caught.value
    assert error.code == 422
    return error


def said(kind, obj):
    return [f"{each['field']}: {each['message']}" for each in refused(kind, obj).details["causes"]]


def changed(kind, old, change, subresource=""):
    new = copy.deepcopy(old)
    change(new)
    try:
        prepare_update(KIND[kind], new, old, subresource)
    except StatusError as error:
        assert error.code == 422  # noqa: PT017 - both outcomes are asked for
        return [f"{each['field']}: {each['message']}" for each in error.details["causes"]]
    return new


def job(**spec):
    template = {"spec": {"containers": [{"name": "a", "image": "i"}], "restartPolicy": "Never"}}
    return {"metadata": {"name": "x"}, "spec": {"template": template, **spec}}


def pod(**container):
    return {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "i", **container}]}}
