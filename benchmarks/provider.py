"""A provider for the recorders' comparison: Chat Completions, streamed, from a thread of this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .recorded_agent import TOOL_CALLS

DELTAS = 100
STALL = "stall"
"""A prompt after which the answer stops in its middle."""
STALLED_DELTAS = 50


class Provider(ThreadingHTTPServer):
    """Answers a prompt with a text and two calls, results with a text; `stalled` is set when an answer stopped."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stalled = threading.Event()
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens, as a base URL of OpenAI's clients."""
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve until the end."""
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = asked["messages"][-1]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        stalls = last["role"] == "user" and last["content"] == STALL
        for number in range(STALLED_DELTAS if stalls else DELTAS):
            self._send({"content": f"w{number} "})
        if stalls:
            self.server.stalled.set()
            self.server.go_on.wait()
            return
        if last["role"] == "user":
            for index, name in enumerate(TOOL_CALLS):
                function = {"name": "read", "arguments": json.dumps({"name": f"{name} {len(asked['messages'])}"})}
                call = {"index": index, "id": f"call_{len(asked['messages'])}_{name}", "type": "function"}
                self._send({"tool_calls": [{**call, "function": function}]})
        self._send({}, "tool_calls" if last["role"] == "user" else "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt-4o-mini",
            "choices": [choice],
        }
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Say nothing of each request."""
