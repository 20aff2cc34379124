"""Peers that behave badly, and what is asked of peers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["accepts", "answering", "data_set", "silent"]

Answer = tuple[int, dict[str, str], bytes]


def accepts(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


def data_set(content: bytes | Path) -> bytes:
    """A DICOM file's bytes behind its file meta group."""
    if isinstance(content, Path):
        content = content.read_bytes()
    assert content[132:136] == b"\x02\x00\x00\x00"  # the length of the group behind this element of 12 bytes
    return content[144 + int.from_bytes(content[140:144], "little") :]


@contextmanager
def silent() -> Iterator[int]:
    """The port of a peer that accepts connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield server.getsockname()[1]


@contextmanager
def answering(
    answer: Callable[[str, str, dict[str, str], bytes], Answer], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """The address of an HTTP server that answers (method, path, headers, body) by a function.

    A body longer than its Content-Length says is cut there; a shorter one ends with the connection.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = answer(self.command, self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in {
                "Content-Length": str(len(content)),
                "Connection": "close",
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

        do_GET = do_POST = handle_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
