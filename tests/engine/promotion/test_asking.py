"""Each retraining that waits for a person has one form, and no other has any."""

from collections.abc import Generator
from datetime import timedelta

import pytest

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory.flows import MemoryForms
from anew.engine.promotion.approving import answer
from anew.engine.promotion.asking import GRACE, FormsKept, LedgerAlone, keep_forms, question_of
from anew.errors import NothingKnown
from tests.approving import WAIT, awaiting
from tests.builders import fresh_ledger
from tests.event_data import NOW


@pytest.fixture
def ledger() -> Generator[SqlLedger]:
    ledger = fresh_ledger()
    yield ledger
    ledger.close()


def test_form_is_opened_once_for_what_waits_longer_than_the_event_takes(ledger: SqlLedger) -> None:
    awaiting(ledger)
    engine, forms = LedgerAlone(ledger), MemoryForms()

    kept = [keep_forms(engine, forms, NOW + wait).asked for wait in (timedelta(0), GRACE, GRACE * 2)]

    assert kept == [(), ("r-1",), ()]


def test_form_that_the_event_opened_is_not_opened_again(ledger: SqlLedger) -> None:
    waiting = awaiting(ledger)
    forms = MemoryForms()
    forms.ask(waiting)
    assert keep_forms(LedgerAlone(ledger), forms, NOW + GRACE) == FormsKept()


@pytest.mark.parametrize("approved", [True, False])
def test_form_of_what_was_answered_is_withdrawn(ledger: SqlLedger, approved: bool) -> None:
    waiting = awaiting(ledger)
    other = awaiting(ledger, "2", model="other")
    engine, forms = LedgerAlone(ledger), MemoryForms()
    forms.ask(waiting)
    forms.ask(other)
    answer(engine, "r-1", approved, "Ada", "because", NOW)

    kept = keep_forms(engine, forms, NOW)

    assert kept.withdrawn == ("r-1",)
    assert list(forms.unfinished().values()) == ["r-2"]


def test_question_is_open_until_the_answer_is_due(ledger: SqlLedger) -> None:
    awaiting(ledger)
    moments = (timedelta(0), WAIT - timedelta(seconds=0.5), WAIT, WAIT * 2)
    left = [question_of(LedgerAlone(ledger), "r-1", NOW + moment).seconds_left for moment in moments]
    assert left == [WAIT.total_seconds(), 1, None, None]


def test_question_that_was_answered_is_open_no_more(ledger: SqlLedger) -> None:
    awaiting(ledger)
    answer(LedgerAlone(ledger), "r-1", True, "Ada", "because", NOW)
    assert question_of(LedgerAlone(ledger), "r-1", NOW).seconds_left is None


def test_question_about_what_nobody_knows_says_so(ledger: SqlLedger) -> None:
    with pytest.raises(NothingKnown, match="r-none"):
        question_of(LedgerAlone(ledger), "r-none", NOW)
