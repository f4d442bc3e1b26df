"""Prometheus metrics, in the app's own registry."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ("method", "route", "status")
        self.requests = Counter("collotype_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "collotype_request_seconds",
            "From the start of a request to the end of its response",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.refused = Counter("collotype_refused", "Requests refused, by reason", ("reason",), registry=self.registry)
        self.pages = Counter("collotype_pages_indexed", "Pages of uploads indexed", registry=self.registry)
        self.failed = Counter("collotype_uploads_failed", "Uploads that could not be indexed", registry=self.registry)
        self.waiting = Gauge("collotype_uploads_waiting", "Uploads not yet indexed", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class MeasuredRequests:
    """Counts and times every request by its route, of which there are few, never by its path."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def send_measured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_measured)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "PUT", "POST", "DELETE") else "other"
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)
