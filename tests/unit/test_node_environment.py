from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.node import environment, volumes
from gke_notebook.sandbox.node.environment import ConfigError, Sources
from gke_notebook.sandbox.node.volumes import MountError

CONFIG = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "two"}}
SECRET = {
    "kind": "Secret",
    "metadata": {"name": "s"},
    "type": "Opaque",
    "data": {"p": base64.b64encode(b"pw").decode()},
}
POD: dict[str, Any] = {
    "metadata": {
        "name": "digits-0", "namespace": "research", "uid": "u1",
        "labels": {"app": "digits", "batch.kubernetes.io/job-completion-index": "3"},
        "annotations": {"note": 'say "hi"'},
    },
    "spec": {
        "nodeName": "n1",
        "containers": [{
            "name": "main", "image": "python",
            "resources": {"limits": {"cpu": "1500m", "memory": "2Gi"}, "requests": {"cpu": "250m"}},
        }],
    },
}  # fmt: skip
SOURCES = Sources(
    POD, {"cpu": "7910m"}, {("ConfigMap", "c"): CONFIG, ("Secret", "s"): SECRET, ("ConfigMap", "no"): None}
)


def resolve(*variables: dict[str, Any], sources: Sources = SOURCES, **container: Any) -> dict[str, str]:
    return environment.environment({"name": "main", "env": list(variables), **container}, sources, {"HOME": "/h"})


def ref(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"), ("x$(A)$(B)", "x12"), ("$(C)", "$(C)"), ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"), ("$A ${A}", "$A ${A}"),
        ("$(A", "$(A"), ("$", "$"), ("$$", "$"),
    ],
)  # fmt: skip
def test_expansion(text: str, expected: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2"}) == expected


@given(st.text())
def test_expansion_of_an_escaped_text_gives_the_text(text: str) -> None:
    assert environment.expand(text.replace("$", "$$"), {"A": "1", "": "2"}) == text


def test_values_refer_to_earlier_ones() -> None:
    given_ = resolve({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(HOME)$(LATER)"}, {"name": "LATER"})
    assert given_ == {"A": "1", "B": "1/h$(LATER)", "LATER": ""}


def test_fields_and_resources() -> None:
    variables = [
        ref("INDEX", "metadata.labels['batch.kubernetes.io/job-completion-index']"),
        ref("NOTE", "metadata.annotations['note']"),
        ref("NONE", "metadata.annotations['none']"), ref("NODE", "spec.nodeName"), ref("IP", "status.podIP"),
        ref("NAME", "metadata.name"), ref("NAMESPACE", "metadata.namespace"), ref("UID", "metadata.uid"),
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MILLI", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]  # fmt: skip
    assert resolve(*variables) == {
        "INDEX": "3", "NOTE": 'say "hi"', "NONE": "", "NODE": "n1", "IP": "127.0.0.1", "NAME": "digits-0",
        "NAMESPACE": "research", "UID": "u1", "CPU": "2", "MILLI": "250", "MEMORY": "2048",
    }  # fmt: skip


def test_a_limit_that_is_not_set_is_what_the_node_has() -> None:
    pod = {**POD, "spec": {"containers": [{"name": "main"}]}}
    variable = {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
    assert resolve(variable, sources=Sources(pod, {"cpu": "7910m"})) == {"CPU": "8"}


def test_config_maps_and_secrets() -> None:
    found = resolve(
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a"}}},
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
        {"name": "O", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": True}}},
        envFrom=[
            {"prefix": "X_", "configMapRef": {"name": "c"}}, {"configMapRef": {"name": "no", "optional": True}},
            {"secretRef": {"name": "s"}},
        ],
    )  # fmt: skip
    assert found == {"X_a": "1", "X_b": "two", "p": "pw", "A": "1", "P": "pw"}


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "a"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "no", "key": "a"}}, 'secret "no" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "z"}}, "couldn't find key z in ConfigMap research/c"),
        ({"secretKeyRef": {"name": "s", "key": "z"}}, "couldn't find key z in Secret research/s"),
        ({"fieldRef": {"fieldPath": "spec.none"}}, "field label not supported: spec.none"),
    ],
)
def test_what_is_missing_is_said_as_a_kubelet_says_it(variable: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve({"name": "A", "valueFrom": variable})
    assert str(raised.value) == text


def test_references_of_both_kinds() -> None:
    container = {
        "name": "m", "envFrom": [{"configMapRef": {"name": "c"}}],
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}}],
    }  # fmt: skip
    pod = {"spec": {"containers": [container], "volumes": [
        {"name": "v", "projected": {"sources": [{"secret": {"name": "t"}}, {"configMap": {"name": "d"}}]}},
        {"name": "w", "secret": {"secretName": "u"}},
    ]}}  # fmt: skip
    assert environment.references(pod) == {("ConfigMap", "c"), ("Secret", "s")}
    assert volumes.references(pod["spec"]["volumes"]) == {("Secret", "t"), ("ConfigMap", "d"), ("Secret", "u")}


def test_the_command_line() -> None:
    container = {"command": ["sh", "-c"], "args": ["echo $(A) $$B"]}
    assert environment.arguments(container, {"A": "1"}) == ["sh", "-c", "echo 1 $B"]
    with pytest.raises(ConfigError, match="no command specified"):
        environment.arguments({}, {})


def test_a_config_map_volume(tmp_path: Path) -> None:
    volume = {"name": "v", "configMap": {"name": "c", "defaultMode": 0o400, "items": [
        {"key": "a", "path": "sub/a.txt"}, {"key": "b", "path": "b", "mode": 0o755},
    ]}}  # fmt: skip
    volumes.write(tmp_path, volumes.files(volume, SOURCES))
    assert (tmp_path / "sub/a.txt").read_text() == "1"
    assert (tmp_path / "sub/a.txt").stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "b").resolve().parent == (tmp_path / "..data").resolve()


def test_binary_data_and_whole_config_maps() -> None:
    source = {"data": {"t": "x"}, "binaryData": {"b": base64.b64encode(b"\0\xff").decode()}}
    found = volumes.files({"name": "v", "configMap": {"name": "c"}}, Sources(POD, {}, {("ConfigMap", "c"): source}))
    assert {key: file.content for key, file in found.items()} == {"t": b"x", "b": b"\0\xff"}


def test_a_projected_volume() -> None:
    volume = {"name": "v", "projected": {"sources": [
        {"secret": {"name": "s"}}, {"configMap": {"name": "c", "items": [{"key": "a", "path": "conf/a"}]}},
        {"downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "note", "fieldRef": {"fieldPath": "metadata.annotations"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
        ]}},
    ]}}  # fmt: skip
    assert {path: file.content.decode() for path, file in volumes.files(volume, SOURCES).items()} == {
        "p": "pw", "conf/a": "1", "cpu": "2", "note": 'note="say \\"hi\\""',
        "labels": 'app="digits"\nbatch.kubernetes.io/job-completion-index="3"',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        ({"configMap": {"name": "c", "items": [{"key": "z", "path": "z"}]}}, "non-existent config key: z"),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "../a"}]}}, "must not contain '..'"),
        ({"hostPath": {"path": "/etc"}}, "hostPath /etc is refused"),
        ({"nfs": {}}, "no nfs volumes"),
    ],
)
def test_a_volume_that_cannot_be_mounted(volume: dict[str, Any], text: str) -> None:
    with pytest.raises(MountError) as raised:
        volumes.files({"name": "v", **volume}, SOURCES)
    assert str(raised.value).startswith('MountVolume.SetUp failed for volume "v" : ')
    assert text in str(raised.value)


def test_optional_sources_may_be_missing() -> None:
    assert volumes.files({"name": "v", "secret": {"secretName": "no", "optional": True}}, SOURCES) == {}


def test_mounts(tmp_path: Path) -> None:
    container = {"volumeMounts": [
        {"name": "a", "mountPath": "/data"}, {"name": "a", "mountPath": "/logs", "subPath": "l/x"},
    ]}  # fmt: skip
    found = volumes.mounts(container, {"a": tmp_path})
    assert found == {"/data": str(tmp_path), "/logs": str(tmp_path / "l/x")}
    assert (tmp_path / "l/x").is_dir()
    with pytest.raises(MountError):
        volumes.mounts({"volumeMounts": [{"name": "a", "mountPath": "/x", "subPath": "../y"}]}, {"a": tmp_path})
