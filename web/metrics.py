"""Metrics for Prometheus: what the tables say at the moment of asking, and what this process answered.

The request counters are this process's own; with several web processes each scrape shows one of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from contract.times import utc_now
from models.counts import count_open
from models.database import reading
from models.sweeps import oldest_wait
from models.webhooks import count_open as count_webhooks
from models.workers import Worker, live_workers
from web.operations import Answer, operation

blueprint = Blueprint("metrics", __name__)
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
_KEY = "fournil.metrics"
Labels = TypeVar("Labels", bound=tuple[str, ...])


class Metrics:
    """One registry an application."""

    def __init__(self, engine: sa.Engine) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(TableCollector(engine))
        names = ("method", "route", "status")
        self.requests = Counter(
            "fournil_http_requests", "Requests answered by this process.", names, registry=self.registry
        )
        self.seconds = Histogram(
            "fournil_http_request_seconds",
            "Seconds until the answer began; of a long poll, mostly waiting.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )


class TableCollector(Collector):
    """Reads the tables at each scrape: nothing to keep in step, and right in every process."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterator[Any]:
        """Nothing: registering must not ask the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        now = utc_now()
        with reading(self._engine) as conn:
            open_jobs, waits = count_open(conn), oldest_wait(conn, now=now)
            ovens, hooks = live_workers(conn, now=now), count_webhooks(conn)
        jobs = {(name, status): count for name, counts in open_jobs.items() for status, count in counts.items()}
        yield _gauge("fournil_jobs_open", "Jobs that are not over.", ("pipeline", "status"), jobs)
        first = {(name,): seconds for name, seconds in waits.items()}
        yield _gauge("fournil_oldest_wait_seconds", "How long the first in line has waited.", ("pipeline",), first)
        slots = {(state,): sum(oven.state == state for oven in ovens) for state in ("starting", "ready", "busy")}
        yield _gauge("fournil_workers", "Live device slots.", ("state",), slots)
        warm = {(oven.name, name): size for oven in ovens for name, size in oven.warm.items()}
        yield _gauge("fournil_warm_bytes", "Measured bytes of a warm pipeline.", ("worker", "pipeline"), warm)
        told = {(state,): count for state, count in hooks.items()}
        yield _gauge("fournil_webhooks", "Webhooks that are not delivered.", ("state",), told)
        yield from _tallies(ovens)


def _gauge(name: str, words: str, labels: Sequence[str], values: Mapping[Labels, float]) -> Metric:
    """`values` by what their labels are, in the order of `labels`."""
    gauge = GaugeMetricFamily(name, words, labels=labels)
    for label, value in values.items():
        gauge.add_metric(label, value)
    return gauge


#: What ovens count (worker.tally.Count), each under its metric's name. They start again with their process.
_COUNTED = (
    ("fournil_rows_baked", "rows", "Rows that an oven computed."),
    ("fournil_rows_spared", "spared", "Rows that were given the answer of an equal row."),
    ("fournil_rows_cached", "cached", "Rows that were given an answer kept from an earlier job or batch."),
    ("fournil_microbatches", "microbatches", "Forward passes over rows."),
    ("fournil_real_tokens", "real_tokens", "Tokens of the rows."),
    ("fournil_padded_tokens", "padded_tokens", "Tokens computed, padding among them."),
    ("fournil_compute_seconds", "seconds", "Time spent in forward passes."),
    ("fournil_out_of_memory", "out_of_memory", "Microbatches that did not fit and were baked in halves."),
)


def _tallies(ovens: list[Worker]) -> Iterator[Metric]:
    counts = [
        ((oven.name, pipeline), count) for oven in ovens for pipeline, count in sorted((oven.tally or {}).items())
    ]
    labels = ("worker", "pipeline")
    for name, field, words in _COUNTED:
        counter = CounterMetricFamily(name, words, labels=labels)
        for label, count in counts:
            counter.add_metric(label, count.get(field, 0))
        yield counter
    budget = {label: count["budget"] for label, count in counts}
    yield _gauge("fournil_budget_tokens", "Most padded tokens of a microbatch, now.", labels, budget)
    waste = {label: 1 - one["real_tokens"] / one["padded_tokens"] for label, one in counts if one["padded_tokens"]}
    yield _gauge("fournil_padding_waste_ratio", "Share of the computed tokens that pads.", labels, waste)


@blueprint.get("/metrics")
@operation("Metrics", tag="health", answers={200: Answer("Prometheus text.", {"type": "string"}, media="text/plain")})
def show() -> Response:
    metrics: Metrics = current_app.extensions[_KEY]
    return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)


@blueprint.record_once
def _set_up(state: Any) -> None:
    app: Flask = state.app
    metrics = Metrics(app.extensions["fournil"].engine)
    app.extensions[_KEY] = metrics

    @app.after_request
    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "(none)"
        # A caller can make methods up; each would be a series of its own.
        method = request.method if request.method in _METHODS else "other"
        metrics.requests.labels(method, route, str(response.status_code)).inc()
        metrics.seconds.labels(method, route).observe(time.perf_counter() - g.get("began", time.perf_counter()))
        return response
