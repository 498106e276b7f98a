"""Answers to Event Grid: handshakes and limits."""

import json
from typing import Any

import pytest

from anew.core.events.deliveries import Acknowledge, Action, Consent, Deliver, Delivery, Refuse, Validate, answer
from anew.core.events.event import Event, Ignored
from tests.event_data import DATA, OTHER_WORKSPACE, load

EVENT = (DATA / "drift.cloud.json").read_bytes()
VALIDATION = (DATA / "validation.grid.batch.json").read_bytes()
CODE = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"


def ask(body: bytes = EVENT, *, method: str = "POST", headers: dict[str, str] | None = None, **terms: Any) -> Action:
    return answer(Delivery(method, headers or {}, body), **({"subscriptions": ["anew-prod"]} | terms))


def validation(subscription: str = "ANEW-PROD", **headers: str) -> dict[str, str]:
    return {"aeg-event-type": "SubscriptionValidation", "aeg-subscription-name": subscription, **headers}


def status(action: Action) -> int:
    assert isinstance(action, Refuse), action
    return action.status


# --- handshakes -------------------------------------------------------------------------------------------


def test_validation_echoes_its_code() -> None:
    """A validation is answered with its code, whichever workspaces are watched."""
    assert ask(VALIDATION, headers=validation(), workspaces={OTHER_WORKSPACE}) == Validate(CODE)


def test_unexpected_subscription_is_refused() -> None:
    """A validation of an unexpected subscription is refused."""
    assert status(ask(VALIDATION, headers=validation("somebody-elses"))) == 403
    assert status(ask(VALIDATION, headers=validation(""))) == 403


def test_any_subscription_by_default() -> None:
    """A validation of any subscription passes when none is configured."""
    assert ask(VALIDATION, headers=validation("any"), subscriptions=[]) == Validate(CODE)


@pytest.mark.parametrize(
    "body", [b"[]", b"[1]", b'{"data": {"validationCode": "x"}}', EVENT, VALIDATION.replace(CODE.encode(), b"")]
)
def test_malformed_validation_is_400(body: bytes) -> None:
    """A malformed validation is answered with 400."""
    assert status(ask(body, headers=validation())) == 400


def test_validation_requires_its_header() -> None:
    """A validation event without its header is not echoed."""
    assert not isinstance(ask(VALIDATION), Validate)


def test_deletion_is_acknowledged() -> None:
    """The deletion of a subscription is acknowledged."""
    assert ask(headers={"aeg-event-type": "SubscriptionDeletion"}) == Acknowledge()


def test_options_with_origin_is_consented() -> None:
    """An OPTIONS request with an origin gets consent."""
    headers = {"webhook-request-origin": "eventgrid.azure.net"}

    assert ask(b"", method="OPTIONS", headers=headers) == Consent("eventgrid.azure.net")


def test_other_methods_are_405() -> None:
    """An OPTIONS request without an origin and any other method are answered with 405."""
    assert status(ask(b"", method="OPTIONS")) == 405
    assert status(ask(method="PUT")) == 405


# --- deliveries -------------------------------------------------------------------------------------------


def test_other_workspace_is_ignored() -> None:
    """An event of another workspace is delivered as ignored."""
    action = ask(workspaces={OTHER_WORKSPACE})

    assert isinstance(action, Deliver)
    assert isinstance(action.parsed[0], Ignored)


def test_single_and_batched_bodies() -> None:
    """A single event and a batch are delivered alike."""
    single, batch = ask(), ask(json.dumps([load("drift.cloud.json")] * 3).encode())

    assert isinstance(single, Deliver)
    assert isinstance(batch, Deliver)
    assert isinstance(single.parsed[0], Event)
    assert batch.parsed == single.parsed * 3


def test_malformed_body_is_400() -> None:
    """A malformed body is answered with 400."""
    assert status(ask(b"{")) == 400


def test_large_batch_is_413() -> None:
    """A batch of too many events is answered with 413."""
    assert status(ask(b"[1,1,1]", max_events=2)) == 413
    assert isinstance(ask(b"[1,1]", max_events=2), Deliver)
