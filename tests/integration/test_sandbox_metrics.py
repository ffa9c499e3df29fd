"""The sandbox's Prometheus HTTP API over a kubelet endpoint that is scraped for real."""

from __future__ import annotations

import contextlib
import ssl
import time
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gke_notebook.cluster.client import Client
from gke_notebook.cluster.resources import NODES
from gke_notebook.sandbox.metrics.app import MetricsState, create_app, number, scrape
from gke_notebook.sandbox.metrics.promql import BadData, parse_selector, parse_step, parse_time
from gke_notebook.sandbox.metrics.samples import NAME, Samples, parse_text
from gke_notebook.sandbox.metrics.targets import Kubelets, targets
from gke_notebook.sandbox.node.usage import Usage, render
from tests.support.apiserver import running_server, test_certificates
from tests.support.apps import serving
from tests.support.rude import until

TEXT = render(
    [
        ({"pod": "digits-0", "namespace": "research", "container": "train"}, Usage(1.5, 1000)),
        ({"pod": 'odd"\\name\n', "namespace": "default", "container": "train"}, Usage(0.25, 2000)),
    ]
)


@contextlib.asynccontextmanager
async def cluster(*ports):
    """Run an API server with one node for each kubelet's port; give a connection."""
    async with running_server() as connection, Client(connection) as client:
        for number, port in enumerate(ports):
            status = {
                "addresses": [{"type": "Hostname", "address": "x"}, {"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            }
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}, "status": status}
            await client.create(NODES, node)
        yield connection


@pytest.fixture
async def kubelet():
    async def cadvisor(request):
        if request.headers.get("Authorization") != "Bearer kubelet":
            return web.Response(status=401)
        return web.Response(text=served.text)

    served = SimpleNamespace(text=TEXT, port=0)
    app = web.Application()
    app.router.add_get("/metrics/cadvisor", cadvisor)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(test_certificates().certificate, test_certificates().key)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    served.port = runner.addresses[0][1]
    yield served
    await runner.cleanup()


class Api:
    def __init__(self, url, http):
        self.url, self.http = url, http

    async def __call__(self, path, method="GET", **parameters):
        options = {"params": parameters} if method == "GET" else {"data": parameters}
        async with self.http.request(method, self.url + path, **options) as response:
            return response.status, await response.json()


@pytest.fixture
async def api(kubelet):
    headers = {"Authorization": "Bearer token"}
    async with cluster(kubelet.port, kubelet.port) as connection:
        state = MetricsState(connection, "kubelet", "token", interval=60)
        async with serving(create_app(state)) as url, aiohttp.ClientSession(headers=headers) as http:
            await until(state.samples.all)
            yield Api(url, http)


async def test_an_instant_query(api, kubelet):
    for method in ("GET", "POST"):
        status, body = await api("/api/v1/query", method, query='container_memory_working_set_bytes{pod=~"digits-.*"}')
        assert (status, body["status"], body["data"]["resultType"]) == (200, "success", "vector")
        (one,) = body["data"]["result"]
        assert one["metric"] == {
            NAME: "container_memory_working_set_bytes", "pod": "digits-0", "namespace": "research",
            "container": "train", "job": "kubelet", "instance": f"127.0.0.1:{kubelet.port}",
        }  # fmt: skip
        assert one["value"][1] == "1000"
    _, body = await api("/api/v1/query", query="up")
    assert [one["value"][1] for one in body["data"]["result"]] == ["1"]
    _, body = await api("/api/v1/query", query="up", time="1970-01-02T00:00:00Z")
    assert body["data"]["result"] == []


async def test_a_range_query(api):
    now = time.time()
    _, body = await api(
        "/api/v1/query_range", query="container_cpu_usage_seconds_total", start=now, end=now + 30, step="15s"
    )
    assert body["data"]["resultType"] == "matrix"
    assert sorted([value for _, value in one["values"]] for one in body["data"]["result"]) == [
        ["0.25"] * 3,
        ["1.5"] * 3,
    ]


async def test_series_labels_and_values(api):
    _, body = await api("/api/v1/series", **{"match[]": "up"})
    assert [one[NAME] for one in body["data"]] == ["up"]
    _, body = await api("/api/v1/labels")
    assert body["data"] == [NAME, "container", "instance", "job", "namespace", "pod"]
    _, body = await api("/api/v1/label/pod/values")
    assert body["data"] == ["digits-0", 'odd"\\name\n']
    _, body = await api("/api/v1/status/buildinfo")
    assert body["data"]["application"] == "gke-notebook sandbox"


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/api/v1/query", {"query": "rate(up[5m])"}),
        ("/api/v1/query", {"query": "sum by (pod) (up)"}),
        ("/api/v1/query", {"query": "up + 1"}),
        ("/api/v1/query", {"query": "up[5m]"}),
        ("/api/v1/query", {"query": "up offset 5m"}),
        ("/api/v1/query", {"query": ""}),
        ("/api/v1/query", {"query": "{}"}),
        ("/api/v1/query", {"query": 'up{a=~"("}'}),
        ("/api/v1/query", {"query": 'up{a="b" c="d"}'}),
        ("/api/v1/query", {}),
        ("/api/v1/query", {"query": "up", "time": "yesterday"}),
        ("/api/v1/query_range", {"query": "up", "start": "0", "end": "1000000", "step": "1"}),
        ("/api/v1/query_range", {"query": "up", "start": "10", "end": "0", "step": "1"}),
        ("/api/v1/query_range", {"query": "up", "start": "0", "end": "10", "step": "0"}),
        ("/api/v1/query_range", {"query": "up", "start": "0", "end": "10"}),
        ("/api/v1/series", {}),
    ],
)
async def test_what_is_not_served_is_refused_in_the_form_of_prometheus(api, path, parameters):
    status, body = await api(path, **parameters)
    assert (status, body["status"], body["errorType"]) == (400, "error", "bad_data")


@pytest.mark.parametrize(
    "query", ["rate(up[5m])", "sum by (pod) (up)", "up + 1", "up[5m]", "up offset 5m", "up{a}", ""]
)
def test_a_refusal_says_what_is_served(query):
    with pytest.raises(BadData, match="plain selectors only"):
        parse_selector(query)


async def test_without_the_token_only_readiness_is_told(api):
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{api.url}/-/ready") as response:
            assert response.status == 200
        async with http.get(f"{api.url}/api/v1/query?query=up") as response:
            assert (response.status, (await response.json())["errorType"]) == (401, "unauthorized")


async def test_a_pod_that_has_ended_has_no_value_now_and_a_dead_kubelet_is_down(kubelet):
    selector = parse_selector('{__name__=~"container_.*|up"}')

    def values():
        found = [(one.labels, one.at(time.time())) for one in state.samples.all() if selector.matches(one.labels)]
        return sorted((labels[NAME], labels.get("pod", labels["instance"][-4:]), value) for labels, value in found)

    async with cluster(kubelet.port, 1) as connection, Client(connection) as client, aiohttp.ClientSession() as http:
        state = MetricsState(connection, "kubelet", "token")
        kubelets = Kubelets(client)
        await scrape(state, kubelets, http)
        assert sorted(value for _, _, value in values()) == [0.0, 0.25, 1.0, 1.5, 1000.0, 2000.0]
        kubelet.text = render([])
        await scrape(state, kubelets, http)
        assert await kubelets.find() == [f"127.0.0.1:{kubelet.port}", "127.0.0.1:1"]
    assert sorted(value for _, _, value in values() if value is not None) == [0.0, 1.0]


async def test_kubelets_are_asked_for_again_only_in_doubt_and_outlive_the_api_server(kubelet):
    async with cluster(1) as connection, Client(connection) as client:
        kubelets = Kubelets(client)
        assert await kubelets.find() == ["127.0.0.1:1"]
        await client.delete(NODES, "node-0")
        assert await kubelets.find() == ["127.0.0.1:1"]
        kubelets.doubt()
        assert await kubelets.find() == []
    async with Client(connection) as client:
        assert await Kubelets(client).find() == []


def test_nodes_without_an_address_or_a_port_are_no_targets():
    assert targets(b'{"items":[{"metadata":{"name":"a"}},{"status":{"addresses":[{"type":"InternalIP"}]}}]}') == []


def test_the_text_format():
    text = '# TYPE a counter\na 1\na{b="c,d}",e="\\"\\\\\\n"} 2.5 1700000000\nnonsense\na{b=1} 3\nc +Inf\n'
    assert parse_text(text) == [
        ({NAME: "a"}, 1.0),
        ({NAME: "a", "b": "c,d}", "e": '"\\\n'}, 2.5),
        ({NAME: "c"}, float("inf")),
    ]


@given(
    st.dictionaries(
        st.sampled_from(["pod", "namespace", "image"]),
        st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_what_the_node_agent_writes_is_read_again(labels):
    parsed = parse_text(render([(labels, Usage(1.0, 2))]))
    assert [{key: value for key, value in found.items() if key != NAME} for found, _ in parsed] == [labels, labels]


@given(st.text())
def test_any_query_is_a_selector_or_a_clear_refusal(text):
    with contextlib.suppress(BadData):
        assert parse_selector(text).tests


def test_matchers():
    labels = {NAME: "up", "pod": "a-1"}
    for query, expected in [
        ("up", True), ('up{pod="a-1"}', True), ('up{pod!="a-1"}', False), ('up{pod=~"a"}', False),
        ("up{pod=~'a-.',}", True),
        ('up{pod!~"b.*"}', True), ('{pod="a-1"}', True), ('up{other=""}', True), ("down", False), (" up { } ", True),
        ("up{pod=`a-1`}", True),
    ]:  # fmt: skip
        assert parse_selector(query).matches(labels) is expected, query


def test_times_steps_and_numbers():
    assert parse_time("time", "1.5") == 1.5
    assert parse_time("time", "1970-01-01T00:01:00+00:00") == 60
    assert [parse_step(text) for text in ("15", "1m30s", "2h", "500ms", "0.5")] == [15, 90, 7200, 0.5, 0.5]
    assert [number(value) for value in (1.0, 0.25, float("inf"), float("-inf"))] == ["1", "0.25", "+Inf", "-Inf"]


def test_memory_is_bounded():
    samples = Samples()
    for moment in range(2000):
        samples.scraped(float(moment), [({NAME: "a"}, 1.0)])
    (series,) = samples.all()
    assert len(series.times) == 720
    samples.scraped(2000.0, [])
    samples.scraped(2000.0 + 720 * 5 + 1, [])
    assert samples.all() == []
