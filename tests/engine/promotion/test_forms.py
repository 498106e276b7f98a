"""Each retraining that awaits approval has one form, and no other has any."""

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


def test_missing_form_is_opened_once(ledger: SqlLedger) -> None:
    """A form that the event did not open is opened after the grace period."""
    awaiting(ledger)
    forms = PaperForms()

    opened = [sync_forms(ledger, forms, NOW + wait).opened for wait in (timedelta(0), GRACE, GRACE * 2)]

    assert opened == [(), ("r-1",), ()]


def test_existing_form_is_kept(ledger: SqlLedger) -> None:
    """A form that the event opened is not opened again."""
    waiting = awaiting(ledger)
    forms = PaperForms()
    forms.ask(waiting)
    assert sync_forms(ledger, forms, NOW + GRACE) == SyncedForms()


@pytest.mark.parametrize("approved", [True, False])
def test_decided_form_is_withdrawn(ledger: SqlLedger, approved: bool) -> None:
    """The form of a candidate that was decided elsewhere is withdrawn, and no other."""
    waiting = awaiting(ledger)
    other = awaiting(ledger, "2", model="other")
    forms = PaperForms()
    forms.ask(waiting)
    forms.ask(other)
    decide_approval(ledger, "r-1", approved, "Ada", "because", NOW)

    synced = sync_forms(ledger, forms, NOW)

    assert synced.withdrawn == ("r-1",)
    assert list(forms.open.values()) == ["r-2"]


def test_approval_is_pending_until_its_deadline(ledger: SqlLedger) -> None:
    """The seconds left are rounded up, and None from the deadline on."""
    awaiting(ledger)
    moments = (timedelta(0), WAIT - timedelta(seconds=0.5), WAIT, WAIT * 2)
    left = [pending_approval(ledger, "r-1", NOW + moment).seconds_left for moment in moments]
    assert left == [WAIT.total_seconds(), 1, None, None]


def test_decided_approval_is_not_pending(ledger: SqlLedger) -> None:
    """A decided approval has no time left."""
    awaiting(ledger)
    decide_approval(ledger, "r-1", True, "Ada", "because", NOW)
    assert pending_approval(ledger, "r-1", NOW).seconds_left is None


def test_unknown_retraining_is_named(ledger: SqlLedger) -> None:
    """An unknown retraining is an error that names it."""
    with pytest.raises(NothingKnown, match="r-none"):
        pending_approval(ledger, "r-none", NOW)
