"""A link shows what is asked and changes nothing; the form behind it answers, once."""

import asyncio
import html
import logging
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from anew.adapters.ledger import SqlLedger
from anew.core.gate import GateOutcome, GateResult
from anew.core.retrainings.approval_links import PATH, Permit
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.engine.promotion.approving import decide_approval
from anew.engine.promotion.forms import PendingApproval, pending_approval
from anew.errors import LedgerUnavailable
from anew.webhook.approvals import ApprovalsEndpoint
from anew.webhook.failed_attempts import FailureLimit
from tests.approving import SENTENCE, WAIT, awaiting
from tests.event_data import NOW
from tests.webhook.in_process import in_process
from tests.webhook.serving import LINKS, apps_of

LIMIT = FailureLimit(burst=3, seconds_each=6)


@dataclass
class Person:
    """Somebody who has a link, at a time that the test moves."""

    ledger: SqlLedger
    now: datetime = NOW
    seconds: float = 0.0
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        endpoint = ApprovalsEndpoint(LINKS, self.ledger, lambda: self.now, limit=LIMIT, monotonic=lambda: self.seconds)
        app = Starlette(routes=[Route(f"{PATH}/{{token}}", endpoint)])
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://anew")

    def ask(self, method: str, token: str, **terms: Any) -> httpx.Response:
        return asyncio.run(self.client.request(method, f"{PATH}/{token}", **terms))

    def look(self, token: str) -> httpx.Response:
        return self.ask("GET", token)

    def say(self, token: str, answer: str = "approve", **changes: str) -> httpx.Response:
        form = {"name": "Ada", "reason": "looks right", "answer": answer, "revision": self.revision} | changes
        return self.ask("POST", token, data=form)

    @property
    def retraining(self) -> Retraining:
        found = self.ledger.retraining("r-1")
        assert found is not None
        return found

    @property
    def revision(self) -> str:
        return str(self.retraining.revision)


@pytest.fixture
def person() -> Generator[Person]:
    ledger = SqlLedger.in_memory()
    awaiting(ledger)
    yield Person(ledger)
    ledger.close()


def token(about: str = "r-1", until: datetime = NOW + WAIT) -> str:
    return LINKS.link(Permit(about, until, "link-1")).rpartition("/")[2]


def text_of(response: httpx.Response) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", response.text))


def test_link_shows_the_gate_result(person: Person) -> None:
    """A link shows the result of the gate and the deadline of the approval."""
    shown = person.look(token())
    assert shown.status_code == 200
    assert SENTENCE in text_of(shown)
    assert "2026-07-17 04:00 UTC" in shown.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_viewing_changes_nothing(person: Person, method: str) -> None:
    """Viewing a link changes neither the retraining nor the audit trail, however often."""
    before = person.retraining, person.ledger.audit()
    for _ in range(5):
        assert person.ask(method, token()).status_code == 200
    assert (person.retraining, person.ledger.audit()) == before


@pytest.mark.parametrize(
    ("said", "state"), [("approve", RetrainingState.REGISTERING), ("reject", RetrainingState.REJECTED)]
)
def test_answer_is_audited(person: Person, said: str, state: RetrainingState) -> None:
    """An answer decides the approval and records name and reason in the audit trail."""
    answered = person.say(token(), said)

    assert answered.status_code == 200
    assert person.retraining.state is state
    assert person.retraining.approval_by == "Ada (link link-1)"
    assert person.retraining.approval_reason == "looks right"
    newest = person.ledger.audit("r-1")[-1]
    assert newest.actor == "Ada (link link-1)"


@pytest.mark.parametrize("again", ["approve", "reject"])
def test_second_use_changes_nothing(person: Person, again: str) -> None:
    """A second use of a link shows the earlier decision and changes nothing."""
    person.say(token(), "reject", reason="not today")
    before = person.retraining

    looked, said = person.look(token()), person.say(token(), again, name="Eve")

    assert "rejected by Ada" in text_of(looked)
    assert "not today" in text_of(said)
    assert "<form" not in looked.text + said.text
    assert person.retraining == before


def test_concurrent_answer_wins(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that came first through another door stands, and the later one gets 409."""
    decide_approval(person.ledger, "r-1", False, "Grace", "seen worse", NOW)
    stale = replace(person.retraining, state=RetrainingState.AWAITING_APPROVAL, approval=None)
    looks = iter([stale])

    def as_it_was(ledger: Ledger, about: str, now: datetime) -> PendingApproval:
        pending = pending_approval(ledger, about, now)
        return replace(pending, retraining=next(looks, pending.retraining))

    monkeypatch.setattr("anew.webhook.approvals.pending_approval", as_it_was)

    said = person.say(token(), "approve")

    assert said.status_code == 409
    assert "rejected by Grace" in text_of(said)
    assert person.retraining.state is RetrainingState.REJECTED


def test_stale_form_is_refused(person: Person) -> None:
    """A form whose question has changed since gets 409 and answers nothing."""
    seen = person.revision
    gate = GateResult(GateOutcome.PROMOTE, "another champion", 10, "beef")
    person.ledger.save_retraining(replace(person.retraining, gate=gate), "asked", "test", NOW, {})

    said = person.say(token(), revision=seen)

    assert said.status_code == 409
    assert "another champion" in said.text
    assert person.retraining.state is RetrainingState.AWAITING_APPROVAL


@pytest.mark.parametrize("missing", [{"name": ""}, {"name": "  "}, {"reason": ""}, {"answer": "maybe"}])
def test_incomplete_form_is_shown_again(person: Person, missing: dict[str, str]) -> None:
    """An incomplete form gets 400, is shown again and answers nothing."""
    said = person.say(token(), **missing)
    assert said.status_code == 400
    assert "<form" in said.text
    assert person.retraining.state is RetrainingState.AWAITING_APPROVAL


def test_link_is_bound_to_its_retraining(person: Person) -> None:
    """A link for one retraining never answers another."""
    awaiting(person.ledger, "2", model="other")
    other = person.ledger.retraining("r-2")

    person.say(token("r-1"))

    assert person.ledger.retraining("r-2") == other


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_expired_link_is_gone(person: Person, method: str) -> None:
    """An expired link gets 410 and answers nothing."""
    person.now = NOW + WAIT
    assert person.ask(method, token()).status_code == 410
    assert person.retraining.state is RetrainingState.AWAITING_APPROVAL


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_forged_link_is_refused(person: Person, method: str) -> None:
    """A forged link gets 403 and answers nothing."""
    assert person.ask(method, token()[:-1]).status_code == 403
    assert person.retraining.state is RetrainingState.AWAITING_APPROVAL


def test_link_without_record_is_gone(person: Person) -> None:
    """A genuine link for an unknown retraining gets 410."""
    assert person.look(token("r-none")).status_code == 410


def test_guesses_are_rate_limited(person: Person) -> None:
    """Guessed links are rate limited, and genuine links are not."""
    answers = [person.look(f"{token()[:-1]}").status_code for _ in range(5)]
    assert answers == [403, 403, 403, 429, 429]
    assert int(person.look("guess").headers["Retry-After"]) > 0
    assert person.look(token()).status_code == 200

    person.seconds = 6
    assert person.look("guess").status_code == 403


def test_expired_link_is_no_guess(person: Person) -> None:
    """An expired link does not count as a guess."""
    person.now = NOW + WAIT
    assert {person.look(token()).status_code for _ in range(10)} == {410}


def test_page_is_inert_and_private(person: Person) -> None:
    """The page runs no script, is not cached and sends no referrer."""
    for shown in (person.look(token()), person.look("guess"), person.say(token())):
        assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]
        assert shown.headers["Cache-Control"] == "no-store"
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        assert not re.search(r"<script|<link|<img|<style|\bon\w+=|https?:", shown.text)


def test_output_is_escaped() -> None:
    """All text on the page is escaped."""
    ledger = SqlLedger.in_memory()
    awaiting(ledger, sentence="<script>alert('slice')</script>")
    person = Person(ledger)

    looked = person.look(token())
    said = person.say(token(), name='<b id="x">', reason="<script>alert(1)</script>")

    for page in (looked, said):
        assert "<script" not in page.text
        assert "<b" not in page.text.replace("<body", "").replace("<br>", "").replace("<button", "")
    assert "&lt;script&gt;alert(1)" in said.text


def test_input_is_one_printable_line(person: Person) -> None:
    """Name and reason are reduced to one printable line."""
    person.say(token(), name="Ada\x1b[31m\r\nLovelace", reason="a\nb\u202ec")
    assert person.retraining.approval_by == "Ada [31m Lovelace (link link-1)"
    assert person.retraining.approval_reason == "a b c"


def test_oversized_form_is_refused(person: Person) -> None:
    """A form over the size limit gets 413."""
    assert person.say(token(), reason="x" * 40_000).status_code == 413


def test_other_content_types_are_refused(person: Person) -> None:
    """A body that is no form gets 415 and answers nothing."""
    assert person.ask("POST", token(), json={"answer": "approve"}).status_code == 415
    assert person.retraining.state is RetrainingState.AWAITING_APPROVAL


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(person: Person, method: str) -> None:
    """Other methods get 405 with the allowed ones."""
    refused = person.ask(method, token())
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "GET, HEAD, POST"


def test_unavailable_ledger_is_503(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ledger is unavailable a link gets 503 without internal details."""

    def away(*_: object) -> Any:
        raise LedgerUnavailable("the database is away")

    monkeypatch.setattr(person.ledger, "retraining", away)
    later = person.look(token())
    assert later.status_code == 503
    assert later.headers["Retry-After"]
    assert "database" not in later.text


def test_token_is_in_no_log(person: Person, caplog: pytest.LogCaptureFixture) -> None:
    """The token of a link appears in no log."""
    caplog.set_level(logging.DEBUG, logger="anew")
    for act in _every_way(person):
        act()
    assert caplog.records
    assert all(token() not in record.getMessage() for record in caplog.records)


def test_without_links_path_is_404() -> None:
    """Without configured links their path gets 404."""
    with in_process(SqlLedger.in_memory()) as asked:
        assert asked.request("GET", f"{PATH}/{token()}").status_code == 404


def test_links_are_public_only() -> None:
    """Links are answered on the public port and not on that of the operators."""
    ledger = SqlLedger.in_memory()
    awaiting(ledger)
    apps = apps_of(ledger, links=LINKS)

    async def ask(app: Starlette) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://anew") as client:
            return (await client.get(f"{PATH}/{token()}")).status_code

    assert (asyncio.run(ask(apps.public)), asyncio.run(ask(apps.operator))) == (200, 404)


def _every_way(person: Person) -> list[Callable[[], object]]:
    def out_of_date() -> None:
        person.now += timedelta(days=30)
        person.look(token())

    return [
        lambda: person.look(token()),
        lambda: person.look(token()[:-1]),
        lambda: person.say(token(), name=""),
        lambda: person.say(token()),
        lambda: person.say(token(), "reject"),
        out_of_date,
    ]
