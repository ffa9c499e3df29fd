from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gke_notebook.sandbox.node import directory, simulated
from gke_notebook.sandbox.node.directory import Directory
from gke_notebook.sandbox.node.names import Host
from gke_notebook.sandbox.node.ports import PortTable


def pod(name: str, owner: str = "", **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "a", "uid": f"uid-{name}", "labels": {"job": "j"}}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
    ports = [{"name": "web", "containerPort": 8080}]
    return {"metadata": metadata, "spec": {"containers": [{"name": "m", "ports": ports}], **spec}, "status": {}}


def known(tmp_path: Path, pods: list[dict[str, Any]], **services: dict[str, Any]) -> Directory:
    return Directory(
        SimpleNamespace(objects={("a", made["metadata"]["name"]): made for made in pods}),  # type: ignore[arg-type]
        SimpleNamespace(objects={("a", name): {"spec": spec} for name, spec in services.items()}),  # type: ignore[arg-type]
        PortTable(tmp_path),
    )


def test_hosts() -> None:
    assert directory.host(pod("p")) == Host("a", "p")
    assert directory.host(pod("p-x7", hostname="p-0", subdomain="j")) == Host("a", "p-0.j")
    assert directory.hostname(pod("a" * 70)) == "a" * 63


def test_where_services_lead(tmp_path: Path) -> None:
    pods = [pod("p-1", hostname="p-1", subdomain="j"), pod("p-0", hostname="p-0", subdomain="j")]
    ports = [{"port": 80, "targetPort": "web"}, {"port": 81, "targetPort": 9}, {"port": 82}]
    found = known(
        tmp_path, pods,
        j={"clusterIP": "None", "selector": {"job": "j"}},
        web={"selector": {"job": "j"}, "ports": ports},
        none={"clusterIP": "None", "selector": {"job": "other"}},
    )  # fmt: skip
    headless = found.service("a", "j")
    assert headless is not None
    assert (headless.host, headless.ports) == (Host("a", "p-0.j"), {})
    web = found.service("a", "web")
    assert web is not None
    assert web.ports == {80: 8080, 81: 9, 82: 82}
    assert found.service("b", "j") is None
    assert set(found.services_of("a")) == {"a/j", "a/web", "a/none"}
    assert found.is_host("a", "j", "p-1")
    assert not found.is_host("a", "j", "p-2")
    pods[1]["status"] = {"phase": "Failed"}
    assert found.service("a", "j").host == Host("a", "p-1.j")  # type: ignore[union-attr]


def test_ports_stay_while_the_owner_has_a_pod(tmp_path: Path) -> None:
    first, again = pod("p-a", "job", hostname="p-0", subdomain="j"), pod("p-b", "job", hostname="p-0", subdomain="j")
    found = known(tmp_path, [])
    table = PortTable(tmp_path)
    found.add(first)
    port = table.local("a", "p-0.j", 29500)
    found.add(again)
    found.remove(first)
    assert table.find("a", "p-0.j", 29500) == port
    found.remove(again)
    assert table.find("a", "p-0.j", 29500) is None
    found.remove(again)


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("0.5", 0.5), ("-1", None), ("soon", None), (None, None)])
def test_how_long_a_pretended_pod_runs(text: str | None, seconds: float | None) -> None:
    made = {"metadata": {"annotations": {} if text is None else {simulated.SECONDS: text}}}
    assert simulated.seconds(made) == seconds
