"""What is answered 200 is in the ledger, whatever breaks; what is not is answered so that it comes again."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.event import listens_for

from anew.adapters.ledger import SqlLedger
from anew.adapters.ledger.database import create_engine, upgrade
from anew.webhook import head_limits
from anew.webhook.config import WebhookConfig
from tests.event_data import load
from tests.repo.paths import ROOT
from tests.webhook.serving import URL, Webhook, until, webhook_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def engine(file: Path) -> sa.Engine:
    engine = create_engine(f"sqlite:///{file}")
    upgrade(engine)
    return engine


@pytest.fixture
def ledger(engine: sa.Engine) -> Generator[SqlLedger]:
    ledger = SqlLedger(engine)
    yield ledger
    ledger.close()


def event(run: str) -> str:
    return json.dumps(load("run-failed.cloud.json") | {"id": run, "data": {"runId": run, "runStatus": "Failed"}})


def runs(ledger: SqlLedger) -> dict[str | None, int]:
    """Deliveries by run."""
    return {entry.event.run_id: entry.deliveries for entry in ledger.entries(10_000)}


# --- the process dies -------------------------------------------------------------------------------------


@contextmanager
def process(file: Path, commits: int | None = None) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(file), str(port)] + ([] if commits is None else [str(commits)])
    server = subprocess.Popen([sys.executable, "-m", "tests.webhook.dying_server", *arguments], cwd=ROOT)
    try:
        url = f"http://127.0.0.1:{port}"
        until_listening(port)
        yield server, url
    finally:
        server.kill()
        server.wait(20)


def until_listening(port: int) -> None:
    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    until(listens, seconds=30)


def send(url: str, run: str) -> str | None:
    """The run if it was acknowledged."""
    with suppress(httpx.TransportError), httpx.Client(trust_env=False, verify=False, timeout=30) as client:
        if client.post(url + URL, content=event(run)).status_code == 200:
            return run
    return None


def test_crash_before_answer_is_deduplicated(file: Path) -> None:
    """A delivery repeated after a crash before the answer only raises the counter."""
    with process(file, commits=1) as (server, url):
        assert send(url, "a") is None
        assert server.wait(20) == 9

    with process(file) as (_, url):
        assert send(url, "a") == "a"

    assert runs(SqlLedger.open(f"sqlite:///{file}")) == {"a": 2}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_ended_process_kept_acknowledged_events(file: Path, how: signal.Signals) -> None:
    """A process that is ended under load has stored every event it acknowledged."""
    with process(file) as (server, url), ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, url, str(number)) for number in range(200)]
        until(lambda: sum(each.done() for each in sent) > 50)
        server.send_signal(how)
        acknowledged = {run for each in sent if (run := each.result())}
        server.wait(40)

    kept = set(runs(SqlLedger.open(f"sqlite:///{file}")))
    assert acknowledged
    assert acknowledged <= kept


# --- the ledger does not take it --------------------------------------------------------------------------


def on_each_connection(engine: sa.Engine, statement: str) -> None:
    """Run a PRAGMA whenever a connection is used, from now on."""

    @listens_for(engine, "checkout")
    def _run(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(statement)


@contextmanager
def locked(file: Path) -> Generator[None]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


def test_locked_ledger_is_503(engine: sa.Engine, ledger: SqlLedger, file: Path) -> None:
    """A ledger that another process has locked means 503 until it is free."""
    on_each_connection(engine, "PRAGMA busy_timeout=50")
    with webhook_of(ledger) as webhook:
        with locked(file):
            assert webhook.public.post(URL, content=event("a")).status_code == 503
        assert webhook.public.post(URL, content=event("a")).status_code == 200

    assert runs(ledger) == {"a": 1}


def test_slow_ledger_is_503_in_time(ledger: SqlLedger, file: Path) -> None:
    """A ledger that is too slow means 503 before Event Grid gives up."""
    config = WebhookConfig(port=0, answer_within=timedelta(milliseconds=200))
    with webhook_of(ledger, config=config) as webhook:
        with locked(file):
            assert webhook.public.post(URL, content=event("a")).status_code == 503
        until(lambda: webhook.public.post(URL, content=event("a")).status_code == 200)

    assert set(runs(ledger)) == {"a"}


def test_full_disk_loses_nothing(engine: sa.Engine, ledger: SqlLedger) -> None:
    """A full disk means 503, and nothing is lost once there is space again."""
    room = ["PRAGMA max_page_count=1000000"]

    @listens_for(engine, "checkout")
    def _limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(room[0])

    with webhook_of(ledger) as webhook:
        assert webhook.public.post(URL, content=event("before")).status_code == 200
        room[0] = "PRAGMA max_page_count=1"  # no less than there are, so that no page can be added
        answers = [webhook.public.post(URL, content=batch(number)) for number in range(5)]
        assert [answer.status_code for answer in answers][-1] == 503
        acknowledged = sum(answer.status_code == 200 for answer in answers)
        assert len(runs(ledger)) == 1 + 100 * acknowledged
        room[0] = "PRAGMA max_page_count=1000000"
        assert {webhook.public.post(URL, content=batch(number)).status_code for number in range(5)} == {200}

    assert len(runs(ledger)) == 501


def batch(number: int) -> str:
    return f"[{','.join(event(f'{number}-{item}') for item in range(100))}]"


# --- the sender breaks off --------------------------------------------------------------------------------


def connection(webhook: Webhook) -> socket.socket:
    url = webhook.public.base_url
    return socket.create_connection((url.host, url.port), timeout=10)


def head(length: int) -> bytes:
    return f"POST {URL} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()


def test_aborted_body_stores_nothing(ledger: SqlLedger) -> None:
    """A sender that disconnects in the middle of a body leaves nothing in the ledger."""
    with webhook_of(ledger) as webhook:
        with connection(webhook) as sender:
            sender.sendall(head(1000) + event("a").encode()[:100])
        assert webhook.public.post(URL, content=event("b")).status_code == 200

    assert runs(ledger) == {"b": 1}


def test_slow_body_is_503_and_closed(ledger: SqlLedger) -> None:
    """A body that arrives too slowly gets 503 and its connection is closed."""
    config = WebhookConfig(port=0, answer_within=timedelta(milliseconds=200))
    with webhook_of(ledger, config=config) as webhook, connection(webhook) as sender:
        sender.sendall(head(1000) + b"[")
        answer = b"".join(iter(lambda: sender.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 30" in answer.lower()


@pytest.mark.parametrize("beginning", [b"", b"POST /events HTTP/1.1\r\nHost: a\r\n"], ids=["silent", "no end"])
def test_incomplete_head_closes_connection(
    ledger: SqlLedger, beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection without a complete head is closed."""
    monkeypatch.setattr(head_limits, "HEAD_SECONDS", 0.1)
    with webhook_of(ledger) as webhook, connection(webhook) as sender:
        sender.sendall(beginning)
        assert sender.recv(100) == b""


def test_oversized_head_closes_connection(ledger: SqlLedger) -> None:
    """A connection whose head is too long is closed."""
    with webhook_of(ledger) as webhook, connection(webhook) as sender:
        with suppress(OSError):
            sender.sendall(b"POST /events HTTP/1.1\r\nX: " + b"x" * 1_000_000)
        with suppress(ConnectionError):
            assert sender.recv(100) == b""


def test_head_limit_is_per_request(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on the head is per request, so that a connection may stay open."""
    monkeypatch.setattr(head_limits, "MOST_HEAD", 1000)
    with webhook_of(ledger) as webhook, connection(webhook) as sender:
        for number in range(12):
            sender.sendall(head(len(event(str(number)))) + event(str(number)).encode())
            answer = sender.recv(4096)
            while not answer.endswith(b"}"):
                answer += sender.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200")
