"""What a hub process counts about itself for Prometheus: times by route, refusals by code. No label is about a person.

Everything here is counted in this process alone; Prometheus adds the processes up (docs/operations.md). Labels come
from closed lists: route patterns, codes of our own errors, slugs of departments.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from hub.errors import Conflict

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

BUILD = Info("yimen_build", "The release that runs here.", registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "yimen_request_seconds", "Time from a request to the end of its answer.", ("method", "route"),
    buckets=SECONDS, registry=REGISTRY,
)  # fmt: skip
REQUESTS = Counter(
    "yimen_requests", "Requests that ended; status 499: the caller went away before an answer began.",
    ("method", "route", "status"), registry=REGISTRY,
)  # fmt: skip
IN_FLIGHT = Gauge("yimen_requests_in_flight", "Requests that are being handled.", registry=REGISTRY)
REFUSALS = Counter("yimen_refusals", "Refusals by their code (docs/problems.md).", ("code",), registry=REGISTRY)
VERDICTS = Counter(
    "yimen_verdicts", "Verdicts by outcome, with the reason of what was not accepted.", ("outcome", "reason"),
    registry=REGISTRY,
)  # fmt: skip
PULLS = Counter(
    "yimen_pulls", "Pulls from departments' agents, by how they ended.", ("department", "outcome"), registry=REGISTRY
)
PULL_SECONDS = Histogram(
    "yimen_pull_seconds", "How long a verifier waited for a pull.", ("department",),
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0), registry=REGISTRY,
)  # fmt: skip
LEDGER_TROUBLE = Counter(
    "yimen_ledger_trouble", "What kept the sequencer from its work, by code.", ("code",), registry=REGISTRY
)
NOTICES = Counter(
    "yimen_notices", "Attempts to send, by channel and by what came of them: sent, failed, dead, dropped.",
    ("channel", "result"), registry=REGISTRY,
)  # fmt: skip
AGENT_SEEN = Gauge(
    "yimen_agent_seen_timestamp_seconds", "When a department's agent last called or signed a status list.",
    ("department",), registry=REGISTRY,
)  # fmt: skip

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_GONE = 499
_seen: dict[str, float] = {}


class Meter:
    """Around everything: counts each request by route pattern and status, and its time. Costs some microseconds.

    While `leaving()`, every answer also asks the caller to close the connection: a proxy then opens its next one
    elsewhere, and no request is sent on a connection that is about to end.
    """

    def __init__(self, app: App, *, leaving: Callable[[], bool]) -> None:
        self.app = app
        self._leaving = leaving
        self._known: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        """Count one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = _GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._leaving():
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        began = time.perf_counter()
        IN_FLIGHT.inc()
        try:
            await self.app(scope, receive, noted)
        finally:
            IN_FLIGHT.dec()
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Message, status: int, took: float) -> None:
        key = (scope["method"], getattr(scope.get("route"), "path", "-"), status)
        known = self._known.get(key)
        if known is None:
            method = key[0] if key[0] in _METHODS else "other"  # what a stranger invents is no label
            known = REQUEST_SECONDS.labels(method, key[1]), REQUESTS.labels(method, key[1], str(status))
            if method != "other":
                self._known[key] = known
        known[0].observe(took)
        known[1].inc()


def refused(code: str) -> None:
    """Somebody was refused with this code."""
    REFUSALS.labels(code).inc()


def told_verdict(outcome: str, reason: str) -> None:
    """A verdict was answered; `reason` is empty for what was accepted."""
    _verdicts(outcome, reason).inc()


@lru_cache(maxsize=256)
def _verdicts(outcome: str, reason: str) -> Counter:
    return VERDICTS.labels(outcome, reason)


def pulled(department: str, outcome: str, took: float) -> None:
    """A pull ended; `took` is what the verifier waited, in seconds."""
    PULLS.labels(department, outcome).inc()
    PULL_SECONDS.labels(department).observe(took)


def notice_ended(channel: str, result: str) -> None:
    """Count one attempt to send."""
    NOTICES.labels(channel, result).inc()


def agent_called(department: str) -> None:
    """A department's agent came to one of the issuers' doors with a token and proof that are right."""
    _seen[department] = time.time()


def agent_seen(department: str, signed: float) -> None:
    """The newest sign of life of a department: its last call here, or its last signed list (seconds)."""
    AGENT_SEEN.labels(department).set(max(signed, _seen.get(department, 0.0)))


def listen(host: str, port: int) -> Callable[[], None]:
    """Answer Prometheus at a port of its own, in a thread of its own; returns what ends it.

    Raises Conflict `hub.metrics_port` when the port cannot be had.
    """
    try:
        server, thread = start_http_server(port, host, registry=REGISTRY)
    except OSError as error:
        raise Conflict(
            "hub.metrics_port",
            f"指标端口 {host}:{port} 无法使用。",
            f"The port for metrics, {host}:{port}, cannot be used: {error.strerror}.",
            next_zh="每个进程须用各自的 YIMEN_METRICS_PORT。",
            next_en="Give each process a YIMEN_METRICS_PORT of its own.",
        ) from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return end
