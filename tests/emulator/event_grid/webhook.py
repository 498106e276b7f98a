"""A webhook that consents to every handshake, takes everything, and keeps the headers it was sent."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ReceivingWebhook:
    """Where it is, and the headers of each request, their names in lower case."""

    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


@contextmanager
def receiving_webhook() -> Generator[ReceivingWebhook]:
    """Serve on a free port until the block ends."""
    hook = ReceivingWebhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            validation = self.headers["aeg-event-type"] == "SubscriptionValidation"
            self._answer({"validationResponse": body[0]["data"]["validationCode"]} if validation else {})

        def do_OPTIONS(self) -> None:
            self._answer({})

        def _answer(self, content: dict[str, str]) -> None:
            hook.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("WebHook-Allowed-Origin", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}/events"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield hook
        server.shutdown()
        thread.join()
