"""The sandbox's files, options and certificates."""

from __future__ import annotations

import ssl
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
import yaml
from cryptography import x509

from gke_notebook.errors import InvalidInput
from gke_notebook.sandbox import certificates, kubeconfig
from gke_notebook.sandbox.home import Home, home, read_or_make_token, write_private
from gke_notebook.sandbox.options import Options, parse_runtime
from gke_notebook.sandbox.pools import default_pools


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_environment_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(tmp_path))
    assert home() == tmp_path
    assert Home.find().root == tmp_path / "sandbox"
    monkeypatch.delenv("GKE_NOTEBOOK_HOME")
    assert home().name == "gke-notebook"


def test_directories_are_private_and_locks_exclude(tmp_path: Path) -> None:
    found = Home(tmp_path / "sandbox")
    assert not found.running()
    found.create()
    assert all(mode(path) == 0o700 for path in (found.root, found.data, found.pods, found.tls, found.logs))
    lock = found.lock("running")
    assert lock is not None
    assert found.running()
    assert found.lock("running") is None
    lock.close()
    assert not found.running()


def test_tokens_are_private_and_stay(tmp_path: Path) -> None:
    token = read_or_make_token(tmp_path / "token")
    assert len(token) >= 40
    assert mode(tmp_path / "token") == 0o600
    assert read_or_make_token(tmp_path / "token") == token


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_certificates_hold_for_loopback_and_are_kept(tmp_path: Path) -> None:
    found = certificates.ensure(tmp_path)
    assert mode(found.key) == 0o600
    server = x509.load_pem_x509_certificate(found.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(found.authority.read_bytes())
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in names} == {"127.0.0.1", "::1", "localhost"}
    assert (server.not_valid_after_utc - datetime.now(timezone.utc)) > timedelta(days=300)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(found.certificate, found.key)
    before = found.certificate.read_bytes()
    assert certificates.ensure(tmp_path).certificate.read_bytes() == before
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    (tmp_path / "expires").write_text(soon.isoformat())
    assert certificates.ensure(tmp_path).certificate.read_bytes() != before


def test_the_kubeconfig_has_one_of_each() -> None:
    config = yaml.safe_load(kubeconfig.render("https://127.0.0.1:1", "PEM", "secret"))
    assert config["current-context"] == "sandbox"
    assert config["users"][0]["user"] == {"token": "secret"}
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"


def test_runtimes() -> None:
    assert parse_runtime("pytorch/*=sh")[0] == "pytorch/*"
    assert parse_runtime("pytorch/*=/bin/sh") == ("pytorch/*", "/bin/sh")
    for wrong in ("pytorch", "=sh", "x=", "x=/no/such"):
        with pytest.raises(InvalidInput, match=r"--runtime"):
            parse_runtime(wrong)


def test_options_survive_the_command_line() -> None:
    options = Options(runtimes=(("pytorch/*", "/usr/bin/python3"),), simulated_nodes=3)
    assert msgspec.json.decode(msgspec.json.encode(options), type=Options) == options


def test_simulated_nodes_are_a_pool_of_their_own() -> None:
    names = [pool.name for pool in default_pools()]
    assert "simulated-pool" not in names
    *others, last = default_pools(7)
    assert [pool.name for pool in others] == names
    assert (last.count, last.runs_processes) == (7, False)
