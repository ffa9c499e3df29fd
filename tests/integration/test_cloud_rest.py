"""Google's REST APIs over a real HTTP server: prices refreshed from the sandbox's billing API, errors explained."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from gke_notebook import catalog
from gke_notebook.catalog import price_files
from gke_notebook.catalog.skus import COMPUTE_ENGINE
from gke_notebook.cloud import billing as cloud_billing
from gke_notebook.cloud import rest
from gke_notebook.errors import ClusterUnreachable, InvalidInput, NotConnected
from gke_notebook.sandbox.gke import billing

TOKEN = "a-token-of-this-test"
DAY = date(2026, 11, 25)


class Server(ThreadingHTTPServer):
    """The sandbox's billing API, with failures that a test has put before its answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures: list[tuple[int, dict]] = []
        self.seen: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.seen.append(self.path)
        if self.server.failures:
            status, body = self.server.failures.pop(0)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, body = 401, {"error": {"code": 401, "message": "no token", "status": "UNAUTHENTICATED"}}
        else:
            status, body = billing.answer(self.command, parts.path, dict(parse_qsl(parts.query)))
        text = json.dumps(body).encode() if isinstance(body, dict) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", str(token))
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nothing is there: the loopback needs no proxy
    monkeypatch.setattr(rest, "_FIRST_WAIT", 0.0)
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING", f"{found.address}/")
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()


def test_a_refresh_is_preferred_and_a_reset_forgets_it(server, monkeypatch):
    monkeypatch.setattr(cloud_billing, "_PAGE", "200")  # several pages
    before = catalog.price("g2-standard-4", "us-central1")
    assert catalog.rate("g2-standard-4", "us-central1", "flex-start") is None
    path, found = cloud_billing.refresh(today=DAY)
    assert path == price_files.path()
    assert len(server.seen) > 5
    after = catalog.price("g2-standard-4", "us-central1", today=DAY)
    assert after.source_date == DAY
    assert after.usd_hour == pytest.approx(before.usd_hour, abs=0.001)
    assert "2026-11-25" in after.basis
    assert not after.stale
    flex = catalog.rate("g2-standard-4", "us-central1", "flex-start")
    assert flex.usd_hour < after.usd_hour
    assert catalog.no_rate("g2-standard-4", "us-central1", "flex-start") == ""
    assert catalog.committed("g2-standard-8", "us-central1", 1).usd_hour < after.usd_hour * 2
    assert catalog.price("a3-ultragpu-8g", "us-central1").basis.endswith("list price of 2026-11-25")  # with its SSDs
    assert len(found.rows) > 400
    assert price_files.remove()
    assert not price_files.remove()
    assert catalog.price("g2-standard-4", "us-central1") == before


def test_a_refresh_of_one_region_leaves_the_others(server):
    cloud_billing.refresh(["us-central1"], today=DAY)
    assert catalog.price("g2-standard-4", "us-central1").source_date == DAY
    assert catalog.price("g2-standard-4", "us-east1").source_date < DAY
    cloud_billing.refresh(["us-east1"], today=date(2026, 11, 26))
    assert catalog.price("g2-standard-4", "us-central1").source_date == DAY
    assert catalog.price("g2-standard-4", "us-east1").source_date == date(2026, 11, 26)


def test_an_unknown_region_gets_the_nearest_and_nothing_is_written(server):
    with pytest.raises(InvalidInput, match=r"'us-centrel1'; did you mean 'us-central1'"):
        cloud_billing.refresh(["us-centrel1"])
    assert not price_files.path().exists()


def test_what_the_service_is_too_busy_for_is_asked_again(server):
    busy = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}
    server.failures = [(429, busy), (503, busy), (500, b"<html>")]
    assert len(list(cloud_billing.read_skus())) > 1000
    server.failures = [(503, busy)] * 9
    with pytest.raises(
        rest.CloudError, match=r"cloudbilling API answered 503 RESOURCE_EXHAUSTED: Quota exceeded"
    ) as said:
        list(cloud_billing.read_skus())
    assert said.value.status == 503


def test_what_changes_something_is_asked_once(server):
    server.failures = [(503, b"")]
    server.seen.clear()
    with pytest.raises(rest.CloudError):
        rest.Rest("cloudbilling").call("POST", "/v1/services", body={"a": 1})
    assert len(server.seen) == 1


def test_a_refusal_says_what_to_do_and_no_token(server):
    denied = {"error": {"code": 403, "message": "Cloud Billing API has not been used", "status": "PERMISSION_DENIED"}}
    server.failures = [(403, denied)]
    with pytest.raises(NotConnected, match=r"403 PERMISSION_DENIED.*gcloud services enable cloudbilling") as said:
        cloud_billing.refresh()
    assert TOKEN not in str(said.value)


def test_a_service_that_does_not_answer_is_said(server, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING", "http://127.0.0.1:9")
    with pytest.raises(ClusterUnreachable, match=r"http://127.0.0.1:9 \(cloudbilling\) does not answer"):
        cloud_billing.refresh()


@pytest.mark.parametrize(
    ("override", "address"),
    [
        ("", "https://compute.googleapis.com"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("http://127.0.0.1:1/compute/v1/", "http://127.0.0.1:1"),
    ],
)
def test_endpoints_are_overridden_as_gcloud_s_are(monkeypatch, override, address):
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", override)
    assert rest.endpoint("compute") == address


def test_a_damaged_file_names_its_line(server):
    path, _ = cloud_billing.refresh(["us-central1"], today=DAY)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("2026-11-25", "yesterday")
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=r"line 3 of .*prices.csv.*`gke-notebook prices reset`"):
        catalog.price("g2-standard-4", "us-central1")


def test_a_place_that_cannot_be_written_is_said(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GKE_NOTEBOOK_HOME", str(tmp_path / "file"))
    with pytest.raises(InvalidInput, match=r"the prices cannot be kept in .*file/prices.csv"):
        cloud_billing.refresh(["us-central1"])


def test_a_file_that_is_no_text_is_said(server):
    price_files.path().parent.mkdir()
    price_files.path().write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match=r"prices.csv cannot be read .*`gke-notebook prices reset` removes it"):
        catalog.price("g2-standard-4", "us-central1")


def test_the_sandbox_knows_the_service(server):
    assert billing.answers(f"/v1/services/{COMPUTE_ENGINE}/skus")
    assert billing.answers("/v1/services")
    assert not billing.answers("/v1/projects/p/locations/l/clusters")
