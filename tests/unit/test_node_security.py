"""The node agent trusts no path and no number of a manifest or a request, whatever the API server let through."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.node import volumes
from gke_notebook.sandbox.node.environment import Sources
from gke_notebook.sandbox.node.log_reader import parse_options
from gke_notebook.sandbox.node.volumes import File, MountError

POD = {"metadata": {"name": "p"}, "spec": {}}
NUMBERS = ["9" * 30, "9" * 5000, "-" + "9" * 30, "1e5", "", "9223372036854775808", "\udcff"]


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.c", "\\"]), max_size=5).map("/".join))
def test_a_path_of_a_volume_stays_inside_or_is_refused(path: str) -> None:
    objects = {("ConfigMap", "c"): {"kind": "ConfigMap", "data": {path: "x", "k": "x"}}}
    sources = Sources(POD, objects=objects)
    for reference in ({"name": "c"}, {"name": "c", "items": [{"key": "k", "path": path}]}):
        try:
            found = volumes.files({"name": "v", "configMap": reference}, sources)
        except MountError:
            continue
        for each in found:
            assert not each.startswith("/")
            assert ".." not in each.split("/")
            assert each


def test_a_link_of_a_program_is_no_way_out(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    outside.mkdir()
    volumes.write(volume, {"inside/file": File(b"x", 0o644)})
    (volume / "link").symlink_to(outside)
    mount = {"name": "v", "mountPath": "/v"}
    with pytest.raises(MountError, match="leads outside"):
        volumes.mounts({"volumeMounts": [{**mount, "subPath": "link/new"}]}, {"v": volume})
    assert list(outside.iterdir()) == []
    found = volumes.mounts({"volumeMounts": [{**mount, "subPath": "inside"}]}, {"v": volume})
    assert (Path(found["/v"]) / "file").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["tailLines", "limitBytes", "sinceSeconds"])
@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_of_a_log_request_have_bounds(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=name):
        parse_options({name: text}, now=0.0)


@pytest.mark.parametrize("name", ["tailLines", "limitBytes", "sinceSeconds"])
def test_the_largest_number_is_taken(name: str) -> None:
    parse_options({name: str(2**63 - 1)})


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00-23:59", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_times_at_the_ends_are_taken(text: str) -> None:
    parse_options({"sinceTime": text})
