"""What a listener says of itself to a monitor: ``/healthz`` and, for Prometheus, ``/metrics``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from pyraseg.transforms.errors import UsageError

__all__ = ["Figures"]

LOOPBACK = "127.0.0.1"
STILL = 600.0  # seconds without a sign of life of the main loop; the tables of a large archive take some
BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds


class Figures:
    """Counts what happens. No figure and no label names a patient, a sender or an object.

    Attributes:
        items: by bundle and outcome; ``seconds``: from a series' last object to the result published.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        names: dict[str, Any] = {"namespace": "pyraseg", "registry": registry}
        self._objects = Counter("received_objects", "Objects on the disk.", **names)
        self._bytes = Counter("received_bytes", "Their bytes.", **names)
        self._refused = Counter("refused_objects", "Objects refused, by DICOM status.", ["status"], **names)
        self._rejected = Counter("rejected_associations", "Associations refused.", **names)
        self._lost = Counter("receiver_deaths", "Ends of the receiving process.", **names)
        self._open = Gauge("open_associations", "Associations now.", **names)
        self.items = Counter("items", "Items by bundle and outcome.", ["bundle", "outcome"], **names)
        self.others = Counter("other_series", "Series that no bundle takes.", **names)
        help_ = "Seconds from a series' last object to a result published."
        self.seconds = Histogram("result_seconds", help_, ["bundle"], buckets=BUCKETS, **names)
        self._beat = 0.0

    def hear(self, words: tuple[Any, ...]) -> None:
        """Count what the receiving process tells."""
        if words[0] == "stored" and words[4]:
            self._objects.inc()
            self._bytes.inc(words[3])
        elif words[0] == "refused":
            self._refused.labels(f"{words[2]:04X}").inc()
        elif words[0] == "rejected":
            self._rejected.inc()
        elif words[0] == "opened":
            self._open.inc()
        elif words[0] == "closed":
            self._open.dec()
        elif words[0] == "lost":
            self._lost.inc()
            self._open.set(0)

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when it is shown."""
        Gauge(name, help_, namespace="pyraseg", registry=self.registry).set_function(value)

    def beat(self) -> None:
        """The main loop gives a sign of life."""
        self._beat = time.monotonic()

    @property
    def is_well(self) -> bool:
        """Whether the main loop has begun and goes on."""
        return bool(self._beat) and time.monotonic() - self._beat < STILL

    @contextmanager
    def served(self, port: int | None) -> Iterator[int | None]:
        """Answer at this port of the loopback interface within the block; None does not.

        Raises:
            UsageError: the port cannot be had.
        """
        if port is None:
            yield None
            return
        try:
            server = ThreadingHTTPServer((LOOPBACK, port), _handler(self))
        except (OSError, OverflowError) as error:
            found = (
                f"one that cannot be had ({getattr(error, 'strerror', None) or 'from 0 to 65535 there are'})"
            )
            raise UsageError(
                "a port for metrics", found=found, remedy="Name another with --metrics-port."
            ) from error
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()


def _handler(figures: Figures) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(figures.registry), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                self._answer(*((200, b"ok\n") if figures.is_well else (503, b"not well\n")))
            else:
                self._answer(404, b"/healthz or /metrics\n")

        def log_message(self, *_: Any) -> None:
            """Not a line for each time that a monitor asks."""

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
