"""A JobManager's REST API as far as counters and lists of jobs go, over real HTTP.

The answers have the form of Flink's REST documentation: `/jobs/<id>` with `vertices`, `…/subtasks/metrics` with ids alone, and with
`get` and `agg` the sums.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class JobManager:
    """One cluster with the job `j`. `counters`: vertex → the full name of a counter → its sum; empty, there is no such job."""

    def __init__(self) -> None:
        self.counters: dict[str, dict[str, int]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, address: str) -> Any:
        """Return what a GET of `address` is answered with; None is 404."""
        asked = urlsplit(address)
        query = parse_qs(asked.query)
        match asked.path.strip("/").split("/"):
            case ["jobs", "overview"]:
                job = {"jid": "j", "name": "orchestrate", "state": "RUNNING", "start-time": 1}
                return {"jobs": [job]}
            case ["jobs", "j"] if self.counters:
                return {"vertices": [{"id": one, "status": "RUNNING"} for one in self.counters]}
            case ["jobs", "j", "vertices", vertex, "subtasks", "metrics"]:
                known = self.counters[vertex]
                if "get" not in query:
                    return [{"id": name} for name in known]
                assert query["agg"] == ["sum"]
                names = query["get"][0].split(",")
                return [{"id": name, "sum": float(known[name])} for name in names]
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        manager = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = manager.answer(self.path)
                body = json.dumps(found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
