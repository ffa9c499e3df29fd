"""The pure parts of the real control plane: command lines, manifests, tokens, what lies in a folder."""

from __future__ import annotations

import base64
import copy
import csv
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.errors import InvalidInput
from gke_notebook.sandbox import certificates
from gke_notebook.sandbox.controlplane import addons, binaries, build, commands, credentials
from gke_notebook.sandbox.controlplane.credentials import Person, token_file
from gke_notebook.sandbox.controlplane.layout import Layout, Ports
from gke_notebook.sandbox.controlplane.processes import how_it_ended, last_lines

PORTS = Ports(1, 2, 3, 4, 5, 6, 7)
NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_folder_is_whole_or_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"--control-plane .*/none: there is no such folder; `make control-plane`"):
        binaries.find(tmp_path / "none")
    folder = programs(tmp_path / "bin", "server", "kube-apiserver")
    (folder / "kube-scheduler").write_text("not executable")
    with pytest.raises(InvalidInput, match=r"KUBEBUILDER_ASSETS .*: it lacks kube-controller-manager, kube-scheduler;"):
        binaries.find(folder, "KUBEBUILDER_ASSETS")
    programs(folder, *NEEDED[1:])
    found = binaries.find(folder)
    assert tuple(found.programs) == NEEDED
    assert found.programs["etcd"] == folder / "server"
    programs(folder, "etcd")
    assert binaries.find(folder).programs["etcd"] == folder / "etcd"


def test_an_add_on_counts_only_with_its_manifests(tmp_path: Path) -> None:
    folder = programs(tmp_path, *NEEDED, "jobset", "kueue")
    assert binaries.find(folder).add_ons == ()
    manifests = binaries.manifests_folder(folder, "kueue")
    manifests.mkdir(parents=True)
    (manifests / "crds.json").write_text('{"items": []}')
    assert binaries.find(folder).add_ons == ("kueue",)


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)


@given(st.lists(st.tuples(names, names, st.lists(names.filter(lambda name: "," not in name), max_size=3))))
def test_the_token_file_is_csv_as_the_api_server_reads_it(rows: list[tuple[str, str, list[str]]]) -> None:
    text = token_file([Person(token, name, tuple(groups)) for token, name, groups in rows])
    read = list(csv.reader(text.splitlines(keepends=True)))
    assert [(row[0], row[1], row[3].split(",") if len(row) > 3 else []) for row in read] == rows
    assert all(row[1] == row[2] for row in read)


def test_secrets_are_their_owners_only_and_made_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "plane")
    layout.create()
    tls = tmp_path / "tls"
    tls.mkdir()
    pems = certificates.ensure(tls)
    keys = credentials.ensure_keys(layout, pems)
    people = [Person("secret", "ada", ("system:masters",))]
    credentials.write_tokens(layout, people, "https://127.0.0.1:1", "PEM")
    before = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in before)
    assert all(
        stat.S_IMODE(path.stat().st_mode) == 0o700 for path in [layout.root, *layout.root.rglob("*")] if path.is_dir()
    )
    assert credentials.ensure_keys(layout, pems) == keys
    credentials.write_tokens(layout, people, "https://127.0.0.1:1", "PEM")
    assert {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()} == before
    assert "secret" not in repr(people)
    for path, content in before.items():  # each component has a token of its own
        if path.suffix == ".kubeconfig":
            token = (layout.tls / f"{path.stem}.token").read_text()
            assert token.encode() in content
            assert token in layout.tokens.read_text()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_the_client_certificate_is_its_authoritys(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    keys = credentials.ensure_keys(layout, certificates.ensure(layout.tls))
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", keys.client_authority,
         keys.client_certificate],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_ports_are_asked_for_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first = layout.choose_ports()
    numbers = [getattr(first, field) for field in first.__struct_fields__]
    assert len(set(numbers)) == len(numbers)
    assert all(numbers)
    assert layout.choose_ports() == first
    layout.ports.write_text("{broken")
    assert layout.choose_ports().etcd > 0


def test_everything_listens_on_loopback_and_asks_who_comes(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    pems = certificates.ensure(layout.tls)
    keys = credentials.ensure_keys(layout, pems)
    etcd = commands.etcd(layout, PORTS, pems, keys, durable=True)
    assert "--client-cert-auth" in etcd
    assert "--peer-client-cert-auth" in etcd
    assert all("https://127.0.0.1:" in flag for flag in etcd if "-urls=" in flag)
    assert "--unsafe-no-fsync" not in etcd
    assert "--unsafe-no-fsync" in commands.etcd(layout, PORTS, pems, keys, durable=False)
    apiserver = commands.apiserver(layout, PORTS, pems, keys)
    assert {"--bind-address=127.0.0.1", "--secure-port=1", "--authorization-mode=Node,RBAC"} <= set(apiserver)
    for arguments in (commands.controller_manager(layout, pems, keys), commands.scheduler(layout)):
        assert "--secure-port=0" in arguments
    for name in binaries.ADD_ONS:
        document = addons.configuration(name, PORTS, keys.webhooks)
        assert document["webhook"]["host"] == "127.0.0.1"
        assert document["health"]["healthProbeBindAddress"].startswith("127.0.0.1:")
        assert document["metrics"]["bindAddress"] == "0"


def hook(*plurals: str, path: str = "/x") -> addons.Object:
    return {
        "name": "m.kb.io", "rules": [{"resources": list(plurals)}], "failurePolicy": "Fail",
        "clientConfig": {"service": {"name": "webhook-service", "namespace": "system", "path": path}},
    }  # fmt: skip


def test_webhooks_lead_to_loopback() -> None:
    found = {"kind": "MutatingWebhookConfiguration", "metadata": {"name": "mutating"}, "webhooks": [
        hook("jobsets", path="/mutate-a"), hook("pods"), hook("workloads", "workloads/status"),
    ]}  # fmt: skip
    before = copy.deepcopy(found)
    jobset = addons.webhook_configuration(found, "jobset", 4, "PEM")
    assert jobset["metadata"]["name"] == "jobset-mutating"
    assert [each["clientConfig"]["url"] for each in jobset["webhooks"]] == [
        "https://127.0.0.1:4/mutate-a", "https://127.0.0.1:4/x", "https://127.0.0.1:4/x",
    ]  # fmt: skip
    assert all(base64.b64decode(each["clientConfig"]["caBundle"]) == b"PEM" for each in jobset["webhooks"])
    assert ["objectSelector" in each for each in jobset["webhooks"]] == [False, True, False]
    kueue = addons.webhook_configuration(found, "kueue", 6, "PEM")
    assert [each["rules"][0]["resources"][0] for each in kueue["webhooks"]] == ["jobsets", "workloads"]
    assert found == before


def test_kueues_definitions_are_converted_on_loopback() -> None:
    spec = {"group": "kueue.x-k8s.io", "names": {"plural": "workloads"}}
    definition = {"metadata": {"name": "x"}, "spec": spec}
    found = addons.custom_resource(definition, 7, "PEM")
    conversion = found["spec"].pop("conversion")
    assert found == definition
    assert conversion["strategy"] == "Webhook"
    assert conversion["webhook"]["clientConfig"]["url"] == "https://127.0.0.1:7/convert"
    assert base64.b64decode(conversion["webhook"]["clientConfig"]["caBundle"]) == b"PEM"


def test_a_definition_loses_a_conversion_that_leads_to_a_service() -> None:
    spec = {"conversion": {"strategy": "Webhook"}, "group": "g", "names": {"plural": "p"}}
    definition = {"metadata": {"name": "x"}, "spec": spec}
    assert "conversion" not in addons.custom_resource(definition, 7, "PEM")["spec"]
    assert "conversion" in definition["spec"]


def test_a_kueue_that_wants_etc_is_known(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_bytes(b"\0" * 9000 + addons.KUEUE_METRICS.encode() + b"\0")
    ours.write_bytes(b"\0" * 9000 + addons.KUEUE_METRICS_HERE.encode() + b"\0")
    assert addons.wants_metrics_certificates(plain) is not Path(addons.KUEUE_METRICS, "tls.crt").exists()
    assert not addons.wants_metrics_certificates(ours)


def test_manifests_are_gathered_as_lists(tmp_path: Path) -> None:
    bases = tmp_path / "module" / "config" / "components" / "crd" / "bases"
    bases.mkdir(parents=True)
    (bases / "b.yaml").write_text("---\nkind: B\n")
    (bases / "a.yaml").write_text("kind: A\n---\nkind: A2\n")
    webhook = bases.parents[1] / "webhook"
    webhook.mkdir()
    (webhook / "manifests.yaml").write_text("---\nkind: W\n")
    build.write_manifests(tmp_path / "module", tmp_path / "out")
    assert [item["kind"] for item in addons.read_manifests(tmp_path / "out" / "crds.json")] == ["A", "A2", "B"]
    assert json.loads((tmp_path / "out" / "webhooks.json").read_text())["kind"] == "List"


def test_the_folder_is_below_the_cache_and_follows_the_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = build.folder()
    assert first.parent == tmp_path / "gke-notebook"
    assert first == build.folder()
    monkeypatch.setattr(build, "_VERSION", "v1.35.0")
    assert build.folder() != first


@pytest.mark.parametrize(
    ("said", "text"), [(None, "there is no `go` here"), ("go1.19.8", "is go1.19.8"), ("", "unknown")]
)
def test_without_a_go_that_can_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str | None, text: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    if said is not None:
        (tmp_path / "go").write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / "go").chmod(0o755)
    assert build.main() == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert text in printed.err
    assert "Go 1.25 or newer" in printed.err
    assert not list(tmp_path.glob("cache/gke-notebook/control-plane-*"))


def test_what_is_built_is_not_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # without Go
    build.folder().mkdir(parents=True)
    assert build.main() == 0
    assert capsys.readouterr().out.strip() == str(build.folder())


def test_last_lines_are_cut(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_lines(log) == "(there is no log)"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)) + "y" * 1000 + "\n")
    assert last_lines(log, 2) == "line 99999\n" + "y" * 240 + " ..."


@given(st.integers(min_value=1, max_value=255))
def test_an_exit_is_said_in_words(code: int) -> None:
    assert how_it_ended(code) == f"ended with exit code {code}"
    assert how_it_ended(-code).startswith("was ended by ")
