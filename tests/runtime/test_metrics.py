"""What ``GET /metrics`` says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from caesura.runtime.metrics import CONTENT_TYPE, Metrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

REPORT: dict[str, Any] = {
    "preinference_runs": 1,
    "postinference_runs": 1,
    "pauses": 2,
    "tool_calls": 3,
    "tokens": {"prefilled": 100, "sampled": 20, "copied": 0, "rebuilds": 1},
    "stages_ms": {"inference": 1500.0, "api": 12.0},
    "preinference_ms": {"render": 2.0},
    "wall_ms": 2000.0,
}


def values(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a scraper reads."""
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
    response = asyncio.run(metrics.endpoint(Request(scope)))
    assert response.headers["content-type"] == CONTENT_TYPE
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(bytes(response.body).decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return values(metrics)[name, frozenset(labels.items())]


def test_a_response() -> None:
    metrics = Metrics()
    metrics.response_began("append")
    metrics.response_ended("append", "completed", REPORT)
    assert value(metrics, "caesura_responses_begun_total", mode="append") == 1
    assert value(metrics, "caesura_responses_ended_total", mode="append", status="completed") == 1
    assert value(metrics, "caesura_tokens_total", mode="append", kind="prefilled") == 100
    assert value(metrics, "caesura_tokens_total", mode="append", kind="copied") == 0
    assert value(metrics, "caesura_rebuilds_total", mode="append") == 1
    assert value(metrics, "caesura_tool_calls_total", mode="append") == 3
    assert value(metrics, "caesura_response_stage_seconds_sum", mode="append", stage="inference") == 1.5
    assert value(metrics, "caesura_preinference_seconds_sum", mode="append", stage="render") == 0.002
    assert value(metrics, "caesura_response_seconds_sum", mode="append") == 2.0


def test_responses_add_up_by_mode() -> None:
    metrics = Metrics()
    for mode in ("http", "websocket", "http"):
        metrics.response_ended(mode, "failed", REPORT)
    metrics.response_ended("http", "cancelled")
    assert value(metrics, "caesura_tokens_total", mode="http", kind="sampled") == 40
    assert value(metrics, "caesura_tokens_total", mode="websocket", kind="sampled") == 20
    assert value(metrics, "caesura_responses_ended_total", mode="http", status="failed") == 2
    assert value(metrics, "caesura_responses_ended_total", mode="http", status="cancelled") == 1


def test_pauses() -> None:
    metrics = Metrics()
    metrics.pause_ended(3.0)
    metrics.paused_after(0.0006)
    metrics.resumed_after(0.0009)
    assert value(metrics, "caesura_pause_seconds_sum") == 3.0
    assert value(metrics, "caesura_pause_seconds_bucket", le="2.0") == 0
    assert value(metrics, "caesura_pause_seconds_bucket", le="10.0") == 1
    assert value(metrics, "caesura_boundary_seconds_sum", side="pause") == 0.0006
    assert value(metrics, "caesura_boundary_seconds_sum", side="resume") == 0.0009


def test_gauges_are_asked_when_they_are_read() -> None:
    metrics = Metrics()
    open_responses = [1, 2, 3]
    metrics.watch(lambda: len(open_responses), lambda: 1)
    assert value(metrics, "caesura_responses_open") == 3
    open_responses.pop()
    assert value(metrics, "caesura_responses_open") == 2
    assert value(metrics, "caesura_responses_paused") == 1


def test_what_else_is_counted() -> None:
    metrics = Metrics()
    metrics.error("invalid_json")
    metrics.store_write_failed()
    metrics.http_request("POST", "/v1/responses", 200, 0.25)
    metrics.websocket_opened()
    metrics.websocket_opened()
    metrics.websocket_closed()
    assert value(metrics, "caesura_errors_total", code="invalid_json") == 1
    assert value(metrics, "caesura_store_write_failures_total") == 1
    assert value(metrics, "caesura_http_requests_total", method="POST", route="/v1/responses", status="200") == 1
    assert value(metrics, "caesura_http_request_seconds_sum", method="POST", route="/v1/responses") == 0.25
    assert value(metrics, "caesura_websocket_connections") == 1


def test_the_process_is_there() -> None:
    assert value(Metrics(), "process_resident_memory_bytes") > 0


def test_two_servers_in_a_process_do_not_count_for_each_other() -> None:
    one, other = Metrics(), Metrics()
    one.error("invalid_json")
    with pytest.raises(KeyError):
        value(other, "caesura_errors_total", code="invalid_json")
