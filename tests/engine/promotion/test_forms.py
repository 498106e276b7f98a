"""Each retraining that waits for a person has one form, and no other has any."""

from collections.abc import Generator, Mapping
from datetime import timedelta

import pytest

from anew.adapters.ledger import SqlLedger
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.promotion.approving import decide_approval
from anew.engine.promotion.forms import GRACE, SyncedForms, pending_approval, sync_forms
from anew.errors import NothingKnown
from tests.approving import WAIT, awaiting
from tests.builders import fresh_ledger
from tests.event_data import NOW


class PaperForms:
    """Forms on paper."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}

    def unfinished(self) -> Mapping[str, str]:
        return dict(self.open)

    def ask(self, retraining: Retraining) -> None:
        self.open[f"form-{retraining.id}"] = retraining.id

    def withdraw(self, form: str, why: str) -> None:
        del self.open[form]


@pytest.fixture
def ledger() -> Generator[SqlLedger]:
    ledger = fresh_ledger()
    yield ledger
    ledger.close()


def test_form_is_opened_once_for_what_waits_longer_than_the_event_takes(ledger: SqlLedger) -> None:
    awaiting(ledger)
    forms = PaperForms()

    kept = [sync_forms(ledger, forms, NOW + wait).opened for wait in (timedelta(0), GRACE, GRACE * 2)]

    assert kept == [(), ("r-1",), ()]


def test_form_that_the_event_opened_is_not_opened_again(ledger: SqlLedger) -> None:
    waiting = awaiting(ledger)
    forms = PaperForms()
    forms.ask(waiting)
    assert sync_forms(ledger, forms, NOW + GRACE) == SyncedForms()


@pytest.mark.parametrize("approved", [True, False])
def test_form_of_what_was_answered_is_withdrawn(ledger: SqlLedger, approved: bool) -> None:
    waiting = awaiting(ledger)
    other = awaiting(ledger, "2", model="other")
    forms = PaperForms()
    forms.ask(waiting)
    forms.ask(other)
    decide_approval(ledger, "r-1", approved, "Ada", "because", NOW)

    kept = sync_forms(ledger, forms, NOW)

    assert kept.withdrawn == ("r-1",)
    assert list(forms.open.values()) == ["r-2"]


def test_question_is_open_until_the_answer_is_due(ledger: SqlLedger) -> None:
    awaiting(ledger)
    moments = (timedelta(0), WAIT - timedelta(seconds=0.5), WAIT, WAIT * 2)
    left = [pending_approval(ledger, "r-1", NOW + moment).seconds_left for moment in moments]
    assert left == [WAIT.total_seconds(), 1, None, None]


def test_question_that_was_answered_is_open_no_more(ledger: SqlLedger) -> None:
    awaiting(ledger)
    decide_approval(ledger, "r-1", True, "Ada", "because", NOW)
    assert pending_approval(ledger, "r-1", NOW).seconds_left is None


def test_question_about_what_nobody_knows_says_so(ledger: SqlLedger) -> None:
    with pytest.raises(NothingKnown, match="r-none"):
        pending_approval(ledger, "r-none", NOW)
