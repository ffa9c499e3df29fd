"""Kubeconfig files of every sort, real files and real credential plugins."""

from __future__ import annotations

import base64
import json
import logging
import os
import ssl
import stat
import sys
from pathlib import Path

import pytest
import yaml

from gke_notebook.cluster import kubeconfig
from gke_notebook.errors import InvalidInput, NotConnected
from gke_notebook.sandbox import certificates


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in (
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    return certificates.ensure(tmp_path_factory.mktemp("tls"))


def write(path: Path, user: dict, cluster: dict | None = None, **more) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": more.get("current", "one"),
        "contexts": [
            {"name": more.get("name", "one"), "context": {"cluster": "c", "user": "u", **more.get("context", {})}}
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def test_a_token(tmp_path):
    connection = kubeconfig.load(path=write(tmp_path / "k", {"token": "secret"}, context={"namespace": "research"}))
    assert (connection.server, connection.namespace, connection.context) == (
        "https://127.0.0.1:6443",
        "research",
        "one",
    )
    assert await connection.token(False) == "secret"
    assert "secret" not in repr(connection)
    assert connection.tls.verify_mode is ssl.CERT_REQUIRED
    assert connection.proxy is None


async def test_a_token_file_is_read_again_after_a_refusal(tmp_path):
    (tmp_path / "token").write_text("first\n")
    connection = kubeconfig.load(path=write(tmp_path / "k", {"tokenFile": "token"}))
    assert await connection.token(False) == "first"
    (tmp_path / "token").write_text("second\n")
    assert await connection.token(False) == "first"
    assert await connection.token(True) == "second"


def plugin(tmp_path: Path, body: str) -> dict:
    script = tmp_path / "plugin"
    script.write_text(f"#!{sys.executable}\n{body}")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script), "interactiveMode": "Never"}
    }


COUNTING = """
import json, pathlib
counter = pathlib.Path(__file__).with_name("count")
number = int(counter.read_text()) + 1 if counter.exists() else 1
counter.write_text(str(number))
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                  "status": {"token": f"token-{number}"}}))
"""


async def test_a_credential_plugin_runs_again_after_a_refusal(tmp_path):
    connection = kubeconfig.load(path=write(tmp_path / "k", plugin(tmp_path, COUNTING)))
    assert await connection.token(False) == "token-1"
    assert await connection.token(False) == "token-1"
    assert await connection.token(True) == "token-2"
    assert await connection.token(True) == "token-2"  # refused at the same time: shared


def test_a_failing_credential_plugin_is_one_clear_line(tmp_path, capfd, caplog):
    broken = plugin(tmp_path, "import sys; sys.exit('gcloud is not logged in')")
    handlers = list(logging.getLogger().handlers)
    with pytest.raises(NotConnected, match=r"context 'one' could not log in: exec: process returned 1.*not logged in"):
        kubeconfig.load(path=write(tmp_path / "k", broken))
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr().err == ""
    assert not caplog.records


def test_a_missing_credential_plugin_is_one_clear_line(tmp_path):
    missing = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin-here"}}
    with pytest.raises(NotConnected, match="no-such-plugin-here"):
        kubeconfig.load(path=write(tmp_path / "k", missing))


@pytest.mark.parametrize("inline", [True, False])
def test_certificates_as_data_and_as_files(tmp_path, pems, inline):
    def entry(key, path):
        return {f"{key}-data": base64.b64encode(Path(path).read_bytes()).decode()} if inline else {key: str(path)}

    user = {**entry("client-certificate", pems.certificate), **entry("client-key", pems.key)}
    path = write(
        tmp_path / "k", user, {**entry("certificate-authority", pems.authority), "tls-server-name": "kubernetes"}
    )
    connection = kubeconfig.load(path=path)
    assert len(connection.tls.get_ca_certs()) == 1
    assert connection.tls.verify_mode is ssl.CERT_REQUIRED
    assert connection.server_name == "kubernetes"


def test_a_missing_certificate_file_is_one_clear_line(tmp_path):
    with pytest.raises(NotConnected, match="no-such-file"):
        kubeconfig.load(path=write(tmp_path / "k", {"token": "t"}, {"certificate-authority": "no-such-file"}))


def test_verification_can_be_switched_off(tmp_path):
    connection = kubeconfig.load(path=write(tmp_path / "k", {"token": "t"}, {"insecure-skip-tls-verify": True}))
    assert connection.tls.verify_mode is ssl.CERT_NONE
    assert not connection.tls.check_hostname


def test_plain_http_has_no_tls(tmp_path):
    assert kubeconfig.load(path=write(tmp_path / "k", {}, {"server": "http://127.0.0.1:8001"})).tls is None


def test_a_proxy_of_the_cluster(tmp_path):
    cluster = {"server": "https://10.0.0.1", "proxy-url": "http://user:password@proxy:3128"}
    connection = kubeconfig.load(path=write(tmp_path / "k", {"token": "t"}, cluster))
    assert connection.proxy == "http://user:password@proxy:3128"
    assert "password" not in repr(connection)
    with pytest.raises(NotConnected, match="socks5://, is not supported"):
        kubeconfig.load(path=write(tmp_path / "k", {"token": "t"}, {"proxy-url": "socks5://user:password@proxy"}))


def test_a_proxy_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.2")
    for server, proxy in (("10.0.0.1", "http://proxy:3128"), ("10.0.0.2", None), ("127.0.0.1", None)):
        path = write(tmp_path / "k", {"token": "t"}, {"server": f"https://{server}"})
        assert kubeconfig.load(path=path).proxy == proxy


async def test_several_files_are_merged(tmp_path, monkeypatch):
    first = write(tmp_path / "a", {"token": "first"}, name="one", current="one")
    second = write(tmp_path / "b", {"token": "second"}, name="two", current="two")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([first, str(tmp_path / "absent"), second]))
    assert kubeconfig.contexts() == ["one", "two"]
    # As kubectl does: the first file to name a user or a cluster wins.
    assert await kubeconfig.load("two").token(False) == "first"


def test_an_unknown_context_gets_the_nearest(tmp_path):
    path = write(tmp_path / "k", {"token": "t"}, name="gke_project_us-central1_research")
    with pytest.raises(InvalidInput, match="did you mean 'gke_project_us-central1_research'"):
        kubeconfig.load("gke_projct_us-central1_research", path)


def test_no_current_context(tmp_path):
    path = write(tmp_path / "k", {"token": "t"}, current="")
    assert kubeconfig.contexts(path) == ["one"]
    with pytest.raises(InvalidInput, match="no current context; choose one of: one"):
        kubeconfig.load(path=path)


def test_no_file_says_what_to_do(tmp_path):
    path = str(tmp_path / "absent")
    assert kubeconfig.contexts(path) == []
    with pytest.raises(NotConnected, match="absent; set KUBECONFIG, or name a GKE cluster as PROJECT/LOCATION/CLUSTER"):
        kubeconfig.load(path=path)


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list\n", "just text", "", "contexts: {}\n", "contexts:\n- 5\n"])
def test_what_is_no_kubeconfig_is_one_clear_line(tmp_path, text):
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises((NotConnected, InvalidInput)) as caught:
        kubeconfig.load("one", str(path))
    assert "\n" not in str(caught.value)


def test_a_context_without_its_cluster(tmp_path):
    path = write(tmp_path / "k", {"token": "t"}, context={"cluster": "other"})
    with pytest.raises(NotConnected, match="a cluster that the file does not have: 'other'"):
        kubeconfig.load(path=path)


def test_user_name_and_password_are_refused(tmp_path):
    with pytest.raises(NotConnected, match="user name and password"):
        kubeconfig.load(path=write(tmp_path / "k", {"username": "a", "password": "b"}))


async def test_inside_a_pod(tmp_path, monkeypatch, pems):
    from kubernetes.config import incluster_config

    token = tmp_path / "token"
    token.write_text("first")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(pems.authority))
    monkeypatch.setattr(kubeconfig, "_POD_NAMESPACE", tmp_path / "namespace")
    (tmp_path / "namespace").write_text("research")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    connection = kubeconfig.load()
    assert (connection.server, connection.namespace) == ("https://10.0.0.1:443", "research")
    assert await connection.token(False) == "first"
    token.write_text("second")
    assert await connection.token(True) == "second"


def test_outside_a_pod(monkeypatch):
    with pytest.raises(NotConnected, match="not in a pod"):
        kubeconfig.in_cluster()


def test_the_exec_plugin_is_told_what_it_is_for(tmp_path):
    info = plugin(tmp_path, "import os, sys; sys.exit(os.environ['KUBERNETES_EXEC_INFO'])")
    info["exec"]["provideClusterInfo"] = True
    with pytest.raises(NotConnected) as caught:
        kubeconfig.load(path=write(tmp_path / "k", info))
    said = str(caught.value)
    assert json.loads(said[said.index("{") :])["kind"] == "ExecCredential"
