"""A web server that fails as told, and counts."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class FailingServer:
    """Where it is, what it answers, and how many requests of each method came."""

    url: str = ""
    status: int = 503
    body: str = '{"error": {"code": "Busy", "message": "try later"}}'
    headers: dict[str, str] = field(default_factory=dict[str, str])
    requests: Counter[str] = field(default_factory=Counter[str])


@contextmanager
def failing_server() -> Generator[FailingServer]:
    """Serve on a free port until the block ends."""
    told = FailingServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.requests[self.command] += 1
            self.send_response(told.status)
            body = told.body.encode()
            for name, value in {"Content-Type": "application/json", **told.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names http.server calls

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield told
        server.shutdown()
        thread.join()
