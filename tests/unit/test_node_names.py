from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.sandbox.node import names
from gke_notebook.sandbox.node.names import Host, Scope, Target

SERVICES = {
    ("research", "digits"): Target(Host("research", "digits-0.digits")),
    ("research", "web"): Target(Host("research", "web-0.web"), {80: 8080}),
    ("other", "digits"): Target(Host("other", "digits-0.digits")),
}
SCOPE = Scope(
    "research",
    "digits-1",
    "digits",
    lambda namespace, name: SERVICES.get((namespace, name)),
    lambda namespace, subdomain, hostname: (namespace, subdomain, hostname) == ("research", "digits", "leader"),
)


class Ports:
    def __init__(self) -> None:
        self.given: dict[tuple[Host, int], int] = {}

    def __call__(self, host: Host, port: int) -> int:
        return self.given.setdefault((host, port), 20000 + len(self.given))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits-0.digits", "127.0.0.1"),
        ("digits-0.digits:29500", "127.0.0.1:20000"),
        ("digits-0.digits.research", "127.0.0.1"),
        ("digits-0.digits.research.svc", "127.0.0.1"),
        ("digits-0.digits.research.svc.cluster.local", "127.0.0.1"),
        ("digits-0.digits.research.svc.cluster.local.", "127.0.0.1"),
        ("tcp://digits-0.digits.research.svc.cluster.local:29500/x", "tcp://127.0.0.1:20000/x"),
        ("digits-0.digits:1,digits-1.digits:1", "127.0.0.1:20000,127.0.0.1:20001"),
        ('{"worker": ["digits-0.digits:2222"]}', '{"worker": ["127.0.0.1:20000"]}'),
        ("leader.digits", "127.0.0.1"),
        ("a.b.elsewhere.svc:5", "127.0.0.1:20000"),
        ("digits.research.svc.cluster.local:8080", "127.0.0.1:20000"),
        ("digits:29500", "127.0.0.1:20000"),
        ("digits-1:29500", "127.0.0.1:20000"),
        ("user@digits-0.digits", "user@127.0.0.1"),
    ],
)
def test_names_of_the_cluster_are_rewritten(text: str, expected: str) -> None:
    assert names.rewrite(text, SCOPE, Ports()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "digits",  # the name of the job, and of its service
        "digits-1",
        "sklearn.datasets.digits",
        "load.digits",
        "digits.json",
        "/data/digits-0.digits",
        "data/digits-0.digits/x",
        "digits-0.digits_old",
        "digits-0.digits.txt",
        "my_digits-0.digits",
        "x.digits-0.digits",
        "digits-0.other-service",
        "storage.googleapis.com:443",
        "unknown.research.svc",
        "python:3.12",
        "digits-0.digits:99999",
        "${X}digits-0",
        "--digits=3",
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert names.rewrite(text, SCOPE, Ports()) == text


def test_the_forms_of_a_name_share_a_port() -> None:
    ports = Ports()
    short = names.rewrite("digits-0.digits:29500", SCOPE, ports)
    assert names.rewrite("digits-0.digits.research.svc.cluster.local:29500", SCOPE, ports) == short
    assert names.rewrite("digits:29500", SCOPE, ports) == short  # the headless service leads to pod 0
    assert names.rewrite("digits-0.digits.other.svc:29500", SCOPE, ports) != short


def test_a_service_with_an_address_maps_its_ports() -> None:
    ports = Ports()
    names.rewrite("http://web:80/", SCOPE, ports)
    assert ports.given == {(Host("research", "web-0.web"), 8080): 20000}


def test_a_single_word_is_a_service_only_where_an_address_stands() -> None:
    rewritten = names.rewrite_environment(
        {"MASTER_ADDR": "digits", "JOB": "digits", "A_HOSTS": "web,x"}, SCOPE, Ports()
    )
    assert rewritten == {"MASTER_ADDR": "127.0.0.1", "JOB": "digits", "A_HOSTS": "127.0.0.1,x"}


def test_a_port_goes_with_the_address_beside_it() -> None:
    ports = Ports()
    at_zero = names.rewrite_environment({"MASTER_ADDR": "digits-0.digits", "MASTER_PORT": "29500"}, SCOPE, ports)
    assert at_zero == {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "20000"}
    assert ports.given == {(Host("research", "digits-0.digits"), 29500): 20000}


@pytest.mark.parametrize("address", [{}, {"MASTER_ADDR": "localhost"}, {"MASTER_ADDR": "127.0.0.1"}])
def test_a_port_without_an_address_is_the_pods_own(address: dict[str, str]) -> None:
    ports = Ports()
    names.rewrite_environment({**address, "MASTER_PORT": "29500"}, SCOPE, ports)
    assert list(ports.given) == [(Host("research", "digits-1.digits"), 29500)]


def test_other_ports_are_left_alone() -> None:
    plain = {"DB_HOST": "db.example.com", "DB_PORT": "5432", "HTTP_PORT": "80", "MASTER_PORT": "none"}
    assert names.rewrite_environment(plain, SCOPE, Ports()) == plain
    outside = {"MASTER_ADDR": "gpu.example.com", "MASTER_PORT": "29500"}
    assert names.rewrite_environment(outside, SCOPE, Ports()) == outside


@pytest.mark.parametrize(
    "arguments",
    [
        ["torchrun", "--master-addr=digits-0.digits", "--master-port=29500", "t.py"],
        ["torchrun", "--master_addr", "digits-0.digits", "--master_port", "29500", "t.py"],
        ["sh", "-c", "torchrun --master_addr digits-0.digits --master_port 29500 t.py"],
        ["sh", "-c", "torchrun --master_addr $MASTER_ADDR --master_port=29500 t.py"],
        ["torchrun", "--master-port=29500", "t.py"],
    ],
)
def test_flags_of_the_rendezvous(arguments: list[str]) -> None:
    ports = Ports()
    result = " ".join(names.rewrite_arguments(arguments, {"MASTER_ADDR": "digits-0.digits"}, SCOPE, ports))
    assert list(ports.given) == [(Host("research", "digits-0.digits"), 29500)]
    assert "20000" in result
    assert "29500" not in result
    assert "digits-0" not in result


def test_the_rendezvous_endpoint() -> None:
    line = ["torchrun", "--rdzv-endpoint=digits-0.digits:29500", "--rdzv-endpoint", "digits"]
    assert names.rewrite_arguments(line, {}, SCOPE, Ports())[1:] == [
        "--rdzv-endpoint=127.0.0.1:20000", "--rdzv-endpoint", "127.0.0.1",
    ]  # fmt: skip


LABEL = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)


@given(LABEL, LABEL, st.integers(0, 99999), st.integers(1, 65535), st.sampled_from(["", ".NS", ".NS.svc"]))
def test_every_pod_of_every_job_is_found(job: str, namespace: str, index: int, port: int, suffix: str) -> None:
    scope = Scope(namespace, f"{job}-7", job)
    ports = Ports()
    name = f"{job}-{index}.{job}{suffix.replace('NS', namespace)}"
    assert names.rewrite(f"x=tcp://{name}:{port},", scope, ports) == "x=tcp://127.0.0.1:20000,"
    assert list(ports.given) == [(Host(namespace, f"{job}-{index}.{job}"), port)]


@given(st.text())
def test_text_without_a_known_name_is_never_changed(text: str) -> None:
    scope = Scope("research", "zzzz-1", "zzzzsub")
    if "zzzz" not in text and not re.search(r"\.svc\b", text):
        assert names.rewrite(text, scope, Ports()) == text
        assert names.rewrite(text, scope, Ports(), address=True) == text


@given(st.text(alphabet="digits-0.:29/ ,@_xa", max_size=40))
def test_rewriting_twice_changes_nothing_more(text: str) -> None:
    once = names.rewrite(text, SCOPE, Ports())
    assert names.rewrite(once, SCOPE, Ports()) == once or "127.0.0.1" in once
