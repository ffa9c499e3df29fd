"""Which GKE cluster a connection is."""

from __future__ import annotations

import pytest

from gke_notebook.cloud.target import Target, of_address, of_context
from gke_notebook.cluster.connection import Connection
from gke_notebook.errors import NotConnected
from gke_notebook.session import sandbox, target


@pytest.mark.parametrize(
    ("context", "found"),
    [
        ("my-project/us-central1/train", "my-project/us-central1/train"),
        ("gke_my-project_us-central1-a_train-1", "my-project/us-central1-a/train-1"),
        ("gke_my-project_us-central1", None),
        ("minikube", None),
        ("a/b", None),
        ("", None),
    ],
)
def test_a_context_names_its_cluster_or_nothing(context: str, found: str | None) -> None:
    made = of_context(context)
    assert (None if made is None else str(made)) == found


def test_names_are_those_of_the_container_api() -> None:
    made = Target("p", "us-central1", "c")
    assert (made.parent, made.name) == (
        "projects/p/locations/us-central1",
        "projects/p/locations/us-central1/clusters/c",
    )


def test_endpoints_are_those_of_gclouds_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "http://127.0.0.1:1/compute/v1/")
    signed_in = object()
    assert Target("p", "l", "c", signed_in=signed_in).rest("compute").address == "http://127.0.0.1:1"
    assert Target("p", "l", "c", "http://127.0.0.1:2", signed_in).rest("compute").address == "http://127.0.0.1:2"
    assert "object" not in repr(Target("p", "l", "c", signed_in=signed_in))


def test_a_connection_that_says_nothing_is_told_how_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    for here in (None, {"kubernetes": "https://127.0.0.1:9", "gke": "http://127.0.0.1:8", "token_file": "/none"}):
        monkeypatch.setattr(sandbox, "running", lambda here=here: here)
        with pytest.raises(NotConnected, match="%gke_connect PROJECT/LOCATION/CLUSTER"):
            target.find(Connection("https://10.0.0.1", context="minikube"))
    assert str(target.find(Connection("https://10.0.0.1", context="gke_p_l_c"))) == "p/l/c"


def test_a_cluster_is_found_by_its_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = {"clusters": [{"name": "c", "location": "us-central1", "endpoint": "127.0.0.1:6443"}]}
    monkeypatch.setattr("gke_notebook.cloud.rest.Rest.call", lambda *_, **__: clusters)
    found = of_address("http://127.0.0.1:2", "sandbox", object(), "https://127.0.0.1:6443")
    assert str(found) == "sandbox/us-central1/c"
    with pytest.raises(NotConnected, match="no cluster of project sandbox has the API server"):
        of_address("http://127.0.0.1:2", "sandbox", object(), "https://127.0.0.1:1")
