"""The Prometheus HTTP API over what the node agent measures; small, and it says what it cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec
from aiohttp import web

from gke_notebook._version import __version__
from gke_notebook.cluster.client import Client
from gke_notebook.cluster.connection import Connection
from gke_notebook.sandbox import loopback
from gke_notebook.sandbox.metrics.promql import BadData, parse_selector, parse_step, parse_time
from gke_notebook.sandbox.metrics.samples import NAME, Sample, Samples, Series, parse_text, with_labels
from gke_notebook.sandbox.metrics.targets import Kubelets

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

INTERVAL = 5.0
_MOST_POINTS = 11_000  # of one series in one range query, as in Prometheus
_OPEN_PATHS = ("/-/ready", "/-/healthy")


@dataclass
class MetricsState:
    """What the metrics server reads from.

    Args:
        connection: the API server, whose nodes say where their kubelets are.
        kubelet_token: the bearer token that the kubelets accept.
        token: the only bearer token that is accepted here.
        interval: seconds between two rounds of scraping.
        samples: what was scraped.
    """

    connection: Connection
    kubelet_token: str = field(repr=False)
    token: str = field(repr=False)
    interval: float = INTERVAL
    samples: Samples = field(default_factory=Samples)


def create_app(state: MetricsState) -> web.Application:
    """Make the web application; while it runs it scrapes.

    Args:
        state: what it reads from.
    """
    api = _Api(state)

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _OPEN_PATHS and not loopback.has_token(request, state.token):
            return failure(401, "unauthorized", "the bearer token of the sandbox is needed")
        try:
            return await handler(request)
        except BadData as error:
            return failure(400, "bad_data", str(error))

    app = web.Application(middlewares=[loopback.refuse_foreign, authenticate])
    for path, handler in (
        ("/api/v1/query", api.query),
        ("/api/v1/query_range", api.query_range),
        ("/api/v1/series", api.series),
        ("/api/v1/labels", api.labels),
    ):
        app.router.add_get(path, handler)
        app.router.add_post(path, handler)
    app.router.add_get("/api/v1/label/{name}/values", api.label_values)
    app.router.add_get("/api/v1/status/buildinfo", api.buildinfo)
    app.router.add_get("/-/ready", api.ready)
    app.router.add_get("/-/healthy", api.ready)
    app.cleanup_ctx.append(lambda _: _scraping(state))
    return app


class _Api:
    def __init__(self, state: MetricsState) -> None:
        self._state = state

    async def ready(self, _request: web.Request) -> web.Response:
        return web.Response(text="The sandbox's metrics server is ready.\n")

    async def buildinfo(self, _request: web.Request) -> web.Response:
        return success({"version": __version__, "application": "gke-notebook sandbox", "goVersion": ""})

    async def query(self, request: web.Request) -> web.Response:
        parameters = await _parameters(request)
        moment = parse_time("time", parameters["time"][0]) if "time" in parameters else time.time()
        vector = []
        for series in self._select([_one(parameters, "query")]):
            value = series.at(moment)
            if value is not None:
                vector.append({"metric": series.labels, "value": [moment, number(value)]})
        return success({"resultType": "vector", "result": vector})

    async def query_range(self, request: web.Request) -> web.Response:
        parameters = await _parameters(request)
        start = parse_time("start", _one(parameters, "start"))
        end = parse_time("end", _one(parameters, "end"))
        step = parse_step(_one(parameters, "step"))
        if end < start:
            raise BadData('invalid parameter "end": end timestamp must not be before start time')
        if not (end - start) / step < _MOST_POINTS:
            raise BadData(f"exceeded maximum resolution of {_MOST_POINTS:,} points per timeseries; use a larger step")
        moments = [start + position * step for position in range(int((end - start) / step) + 1)]
        matrix = []
        for series in self._select([_one(parameters, "query")]):
            values = [[moment, number(value)] for moment in moments if (value := series.at(moment)) is not None]
            if values:
                matrix.append({"metric": series.labels, "values": values})
        return success({"resultType": "matrix", "result": matrix})

    async def series(self, request: web.Request) -> web.Response:
        parameters = await _parameters(request)
        return success([series.labels for series in self._select(_matches(parameters, needed=True))])

    async def labels(self, request: web.Request) -> web.Response:
        chosen = self._select(_matches(await _parameters(request)))
        return success(sorted({label for series in chosen for label in series.labels}))

    async def label_values(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        chosen = self._select(_matches(await _parameters(request)))
        return success(sorted({series.labels[name] for series in chosen if name in series.labels}))

    def _select(self, queries: list[str]) -> list[Series]:
        selectors = [parse_selector(query) for query in queries]
        return [
            series
            for series in self._state.samples.all()
            if not selectors or any(selector.matches(series.labels) for selector in selectors)
        ]


async def scrape(state: MetricsState, kubelets: Kubelets, http: aiohttp.ClientSession) -> None:
    """Read every kubelet once.

    Args:
        state: what to fill.
        kubelets: where to read.
        http: an HTTP session.
    """
    rounds = await asyncio.gather(*(_scrape_one(state, http, target) for target in await kubelets.find()))
    if any(sample[0][NAME] == "up" and not sample[1] for found in rounds for sample in found):
        kubelets.doubt()
    state.samples.scraped(time.time(), [sample for found in rounds for sample in found])


async def _scrape_one(state: MetricsState, http: aiohttp.ClientSession, target: str) -> list[Sample]:
    more = {"job": "kubelet", "instance": target}
    try:
        async with http.get(
            f"https://{target}/metrics/cadvisor",
            headers={"Authorization": f"Bearer {state.kubelet_token}"},
            ssl=False,  # as the API server does by default, a kubelet is not asked for a certificate
            timeout=aiohttp.ClientTimeout(total=4.0),
        ) as response:
            response.raise_for_status()
            text = await response.text()
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
        return [({NAME: "up", **more}, 0.0)]
    return [*with_labels(parse_text(text), more), ({NAME: "up", **more}, 1.0)]


async def _scraping(state: MetricsState) -> AsyncIterator[None]:
    async def run() -> None:
        async with aiohttp.ClientSession() as http, Client(state.connection) as client:
            kubelets = Kubelets(client)
            while True:
                await scrape(state, kubelets, http)
                await asyncio.sleep(state.interval)

    task = asyncio.create_task(run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _parameters(request: web.Request) -> dict[str, list[str]]:
    pairs = list(request.query.items())
    if request.method == "POST":
        pairs += [(key, str(value)) for key, value in (await request.post()).items()]
    parameters: dict[str, list[str]] = {}
    for key, value in pairs:
        parameters.setdefault(key, []).append(value)
    return parameters


def _one(parameters: dict[str, list[str]], name: str) -> str:
    if not parameters.get(name):
        raise BadData(f'invalid parameter "{name}": it is missing')
    return parameters[name][0]


def _matches(parameters: dict[str, list[str]], *, needed: bool = False) -> list[str]:
    found = parameters.get("match[]", [])
    if needed and not found:
        raise BadData("no match[] parameter provided")
    return found


def number(value: float) -> str:
    """Write a value as Prometheus does: as text, and infinity by its own name."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")


def success(data: object) -> web.Response:
    """Make an answer in Prometheus' form."""
    body = msgspec.json.encode({"status": "success", "data": data})
    return web.Response(body=body, content_type="application/json")


def failure(code: int, kind: str, text: str) -> web.Response:
    """Make an error in Prometheus' form.

    Args:
        code: the HTTP status.
        kind: the `errorType`.
        text: what was wrong.
    """
    body = msgspec.json.encode({"status": "error", "errorType": kind, "error": text})
    return web.Response(status=code, body=body, content_type="application/json")
