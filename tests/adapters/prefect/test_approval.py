"""The form of an approval on a real Prefect server: the shipped deployment, its trigger, and the in-process worker."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import pytest

from anew.adapters.ledger import SqlLedger
from anew.adapters.prefect.api import FlowRunView, PrefectFlows
from anew.adapters.prefect.forms import DEPLOYMENT, PrefectForms
from anew.adapters.prefect.notifications import PrefectNotifier
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.engine.notifications.notification import retraining_notification
from anew.engine.promotion.approving import decide_approval
from anew.engine.promotion.forms import SyncedForms, sync_forms
from anew.errors import PrefectUnavailable
from tests.approving import WAIT, awaiting
from tests.prefect_server import PrefectServer
from tests.repo.paths import ROOT

Value = TypeVar("Value")
pytestmark = pytest.mark.timeout(240)

SETTINGS = """
ledger = "{ledger}"
[azure]
subscription_id = "00000000-0000-0000-0000-000000000001"
resource_group = "rg"
workspace = "ws"
data_factory = "factory"
"""


@dataclass(frozen=True)
class Office:
    """A ledger, Prefect, a worker between them, and a person who fills forms in."""

    ledger: SqlLedger
    prefect: PrefectFlows
    api: httpx.Client

    def asked(self, name: str) -> Retraining:
        """A retraining that has begun to wait, and of which Prefect was told."""
        waiting = awaiting(self.ledger, name, model=f"model-{name}", at=datetime.now(UTC))
        news = retraining_notification(waiting)
        assert news is not None
        PrefectNotifier(self.prefect).send(news)
        return waiting

    def form_of(self, retraining: Retraining, state: str = "Suspended") -> FlowRunView:
        """The form of a retraining, once it is in this state and, when suspended, can be filled in."""
        form = _until(lambda: next((run for run in self.forms(retraining) if run.state == state), None))
        if state == "Suspended":
            # Prefect suspends the run before it has stored the fields of its form.
            keys = self.api.get(f"/flow_runs/{form.id}").json()["state"]["state_details"]["run_input_keyset"]
            _until(lambda: self.api.get(f"/flow_runs/{form.id}/input/{keys['schema']}").is_success or None)
        return form

    def fill_in(self, form: FlowRunView, **values: Any) -> str:
        """What Prefect says to a form that was sent. A server on SQLite that is busy says 503, to be asked again."""
        sent = _until(lambda: self._send(form, values))
        return str(sent.raise_for_status().json()["status"])

    def _send(self, form: FlowRunView, values: dict[str, Any]) -> httpx.Response | None:
        sent = self.api.post(f"/flow_runs/{form.id}/resume", json={"run_input": values})
        return None if sent.status_code == 503 else sent

    def now_is(self, retraining: Retraining) -> Retraining:
        found = self.ledger.retraining(retraining.id)
        assert found is not None
        return found

    def forms(self, retraining: Retraining) -> list[FlowRunView]:
        """All there are, none of which has failed."""
        runs = self.prefect.flow_runs([DEPLOYMENT], retraining.created_at)
        found = [run for run in runs if run.parameters.get("retraining_id") == retraining.id]
        assert not [run for run in found if run.state in {"Failed", "Crashed"}], found
        return found


@pytest.fixture(scope="module")
def office(prefect_api: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    url = f"sqlite:///{folder / 'ledger.db'}"
    (folder / "anew.toml").write_text(SETTINGS.format(ledger=url))
    with (
        pytest.MonkeyPatch.context() as patch,
        PrefectFlows(prefect_api.api_url, attempts=10) as prefect,
        httpx.Client(base_url=prefect_api.api_url) as api,
    ):
        prefect.ensure_pool("anew", "anew-in-process")
        prefect_api.cli("--no-prompt", "deploy", "--name", DEPLOYMENT, cwd=ROOT)
        patch.setenv("ANEW_SETTINGS", str(folder / "anew.toml"))  # the worker inherits it
        with prefect_api.worker("anew", cwd=ROOT):
            ledger = SqlLedger.open(url)
            yield Office(ledger, prefect, api)
            ledger.close()


def _patiently(ask: Callable[[], SyncedForms]) -> SyncedForms:
    """What the next ticks do when a server on SQLite is too busy to answer."""
    for _ in range(5):
        with suppress(PrefectUnavailable):
            return ask()
    return ask()


def _until(look: Callable[[], Value | None], seconds: float = 60) -> Value:
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.fixture(autouse=True)
def _every_form_ends(office: Office) -> Generator[None]:
    yield
    for form in office.prefect.unfinished_runs(DEPLOYMENT):
        office.prefect.cancel_suspended(form.id, "the test is over")


def test_form_answer_is_recorded(office: Office) -> None:
    """A notification opens a form, and its answer is recorded with name and reason."""
    waiting = office.asked("yes")
    form = office.form_of(waiting)

    said = office.fill_in(form, approve=True, reason="looks right", your_name="Ada")

    office.form_of(waiting, "Completed")
    answered = office.now_is(waiting)
    assert said == "ACCEPT"
    assert answered.state is RetrainingState.REGISTERING
    assert (answered.approval_by, answered.approval_reason) == ("Ada (Prefect)", "looks right")


def test_incomplete_form_is_rejected(office: Office) -> None:
    """An incomplete form is rejected and leaves the approval pending."""
    waiting = office.asked("empty")
    form = office.form_of(waiting)
    incomplete = [{}, {"approve": True}, {"approve": True, "reason": " ", "your_name": "Ada"}, {"approve": "maybe"}]

    assert {office.fill_in(form, **values) for values in incomplete} == {"REJECT"}

    assert office.form_of(waiting).id == form.id
    assert office.now_is(waiting).state is RetrainingState.AWAITING_APPROVAL


def test_earlier_answer_beats_the_form(office: Office) -> None:
    """A form answered after another door has decided changes nothing."""
    waiting = office.asked("late")
    form = office.form_of(waiting)
    decide_approval(office.ledger, waiting.id, False, "Grace", "seen worse", datetime.now(UTC))
    rejected = office.now_is(waiting)

    assert office.fill_in(form, approve=True, reason="looks right", your_name="Ada") == "ACCEPT"

    office.form_of(waiting, "Completed")
    assert office.now_is(waiting) == rejected


def test_form_expires_with_the_approval(office: Office) -> None:
    """A form can be answered until the deadline of the approval."""
    waiting = office.asked("timeout")
    form = office.form_of(waiting)

    details = office.api.get(f"/flow_runs/{form.id}").json()["state"]["state_details"]

    until = datetime.fromisoformat(details["pause_timeout"])
    assert waiting.approval_deadline is not None
    assert abs((until - waiting.approval_deadline).total_seconds()) < 10


def test_missed_form_is_opened_once(office: Office) -> None:
    """A form that no event opened is opened once by the sync."""
    waiting = awaiting(office.ledger, "lost", model="model-lost", at=datetime.now(UTC))
    forms = PrefectForms(office.prefect)
    later = waiting.state_since + WAIT / 2

    # A pass that Prefect cut short may have opened it already: what counts are the forms there are.
    _patiently(lambda: sync_forms(office.ledger, forms, later))
    second = _patiently(lambda: sync_forms(office.ledger, forms, later))

    assert waiting.id not in second.opened
    assert office.form_of(waiting)
    assert len(office.forms(waiting)) == 1


def test_obsolete_form_is_withdrawn(office: Office) -> None:
    """A form is withdrawn once its question is answered elsewhere."""
    waiting = office.asked("elsewhere")
    office.form_of(waiting)
    decide_approval(office.ledger, waiting.id, True, "Grace", "better", datetime.now(UTC))

    forms = PrefectForms(office.prefect)
    _patiently(lambda: sync_forms(office.ledger, forms, datetime.now(UTC)))

    assert office.form_of(waiting, "Cancelled")
    assert not _patiently(lambda: sync_forms(office.ledger, forms, datetime.now(UTC))).withdrawn
