"""What a server counts and times, for Prometheus: ``GET /metrics``.

Whatever is counted once a token is added up by the engine's ledger and comes in here once a Response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.requests import Request
from starlette.responses import Response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format, of the version that every scraper reads."""

_STAGE_BUCKETS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5, 20, 60, 300, 1200, 3600)
_PAUSE_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1200, 3600)
_BOUNDARY_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1)
_REQUEST_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1200, 3600)


class Metrics:
    """Has a registry of its own, so that two servers in a process don't count for each other.

    Every label's values are few and the server's own. All times are seconds. A method costs some microseconds.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        # Functions from labels to what is counted for them, which remember: prometheus_client takes a lock and a
        # microsecond to find it again.
        def counter(name: str, what: str, *labels: str) -> Callable[..., Counter]:
            metric = Counter(name, what, labels, "caesura", registry=self.registry)
            return cache(metric.labels) if labels else lambda: metric

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(name, what, namespace="caesura", registry=self.registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
            metric = Histogram(name, what, labels, "caesura", registry=self.registry, buckets=buckets)
            return cache(metric.labels) if labels else lambda: metric

        self._begun = counter("responses_begun", "Responses that began.", "mode")
        self._ended = counter("responses_ended", "Responses that ended, by their final status.", "mode", "status")
        self._open = gauge("responses_open", "Responses that have begun and not ended, paused ones among them.")
        self._paused = gauge("responses_paused", "Responses that wait for a client's tools.")
        self._wall = histogram("response_seconds", "From a Response's start to its end.", _STAGE_BUCKETS, "mode")
        self._stages = histogram(
            "response_stage_seconds", "What a Response spent in a stage.", _STAGE_BUCKETS, "mode", "stage"
        )
        self._preinference = histogram(
            "preinference_seconds", "What a stage of preinference took.", _STAGE_BUCKETS, "mode", "stage"
        )
        self._tokens = counter("tokens", "Tokens of Responses that ended, by what was done for them.", "mode", "kind")
        self._rebuilds = counter("rebuilds", "Sequences whose KV cache was computed again.", "mode")
        self._calls = counter("tool_calls", "Tool calls that were sampled.", "mode")
        self._pauses = histogram("pause_seconds", "From response.done to the last answer.", _PAUSE_BUCKETS)
        self._boundary = histogram(
            "boundary_seconds",
            "What the server takes around a pause: from the last token to response.done (pause), from the last answer "
            "to the next decode (resume).",
            _BOUNDARY_BUCKETS,
            "side",
        )
        self._errors = counter("errors", "Errors that clients were told, by their code.", "code")
        self._requests = counter("http_requests", "HTTP requests that were answered.", "method", "route", "status")
        self._request_seconds = histogram(
            "http_request_seconds",
            "From an HTTP request to the end of its answer.",
            _REQUEST_BUCKETS,
            "method",
            "route",
        )
        self._websockets = gauge("websocket_connections", "WebSockets that are open.")
        self._store_failures = counter("store_write_failures", "Responses that could not be stored.")

    def watch(self, responses_open: Callable[[], float], responses_paused: Callable[[], float]) -> None:
        """Ask these whenever the metrics are read."""
        self._open.set_function(responses_open)
        self._paused.set_function(responses_paused)

    def response_began(self, mode: str) -> None:
        """``mode`` is a :attr:`~caesura.protocol.modes.Mode.name`."""
        self._begun(mode).inc()

    def response_ended(self, mode: str, status: str, report: Mapping[str, Any] | None = None) -> None:
        """``report`` is what :meth:`.accounting.Accounting.report` gives; None for a Response that has no costs."""
        self._ended(mode, status).inc()
        if report is None:
            return
        self._wall(mode).observe(report["wall_ms"] / 1e3)
        for stage, milliseconds in report["stages_ms"].items():
            self._stages(mode, stage).observe(milliseconds / 1e3)
        for stage, milliseconds in report["preinference_ms"].items():
            self._preinference(mode, stage).observe(milliseconds / 1e3)
        for kind, number in report["tokens"].items():
            counter = self._rebuilds(mode) if kind == "rebuilds" else self._tokens(mode, kind)
            counter.inc(number)
        self._calls(mode).inc(report["tool_calls"])

    def pause_ended(self, seconds: float) -> None:
        """A pause that an answer ended."""
        self._pauses().observe(seconds)

    def paused_after(self, seconds: float) -> None:
        """From the last token of a turn to its ``response.done``."""
        self._boundary("pause").observe(seconds)

    def resumed_after(self, seconds: float) -> None:
        """From the append that ended a pause to the next decode."""
        self._boundary("resume").observe(seconds)

    def error(self, code: str) -> None:
        """A client was told an error. ``code`` is one of the server's own, never text from a client."""
        self._errors(code).inc()

    def http_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """``route`` is the path's template, such as ``/v1/responses/{response_id}``."""
        self._requests(method, route, status).inc()
        self._request_seconds(method, route).observe(seconds)

    def websocket_opened(self) -> None:
        self._websockets.inc()

    def websocket_closed(self) -> None:
        self._websockets.dec()

    def store_write_failed(self) -> None:
        self._store_failures().inc()

    async def endpoint(self, _: Request) -> Response:
        """For ``Route("/metrics", metrics.endpoint)``."""
        return Response(generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE})
