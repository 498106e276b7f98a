"""Answers to Event Grid: handshakes, secrets and limits."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.deliveries import Acknowledge, Action, Consent, Deliver, Delivery, Refuse, Validate, answer
from anew.core.events import Event, Ignored
from tests.event_data import DATA, OTHER_WORKSPACE, load

OLD, NEW = "the-old-secret-0001", "the-new-secret-0002"
EVENT = (DATA / "drift.cloud.json").read_bytes()
VALIDATION = (DATA / "validation.grid.batch.json").read_bytes()
CODE = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"


def ask(
    body: bytes = EVENT,
    *,
    method: str = "POST",
    query: str = f"code={OLD}",
    headers: dict[str, str] | None = None,
    **terms: Any,
) -> Action:
    defaults: dict[str, Any] = {"secrets": [OLD, NEW], "subscriptions": ["anew-prod"], "require_secret": True}
    return answer(Delivery(method, headers or {}, query, body), **(defaults | terms))


def validation(subscription: str = "ANEW-PROD", **headers: str) -> dict[str, str]:
    return {"Aeg-Event-Type": "SubscriptionValidation", "aeg-subscription-name": subscription, **headers}


def status(action: Action) -> int:
    assert isinstance(action, Refuse), action
    return action.status


# --- secrets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [f"code={OLD}", f"code={NEW}", f"a=b&code={NEW}", f"code=wrong&code={OLD}"])
def test_any_configured_secret_lets_a_delivery_in(query: str) -> None:
    assert isinstance(ask(query=query), Deliver)


def test_secret_may_come_in_a_header() -> None:
    assert isinstance(ask(query="", headers={"X-Anew-Secret": NEW}), Deliver)


def test_encoded_secret_is_decoded_once() -> None:
    assert isinstance(ask(query="code=a%2Bb%2520", secrets=["a+b%20"]), Deliver)


@pytest.mark.parametrize(
    "query", ["", "code=", "code=wrong", f"code={OLD}x", f"code={OLD[:-1]}", f"CODE={OLD}", "code"]
)
def test_missing_or_wrong_secret_is_401(query: str) -> None:
    assert status(ask(query=query)) == 401


def test_no_configured_secret_lets_nobody_in_where_one_is_required() -> None:
    assert status(ask(secrets=[])) == 401
    assert status(ask(query="code=", secrets=[""])) == 401


def test_no_secret_is_asked_for_where_none_is_required() -> None:
    assert isinstance(ask(query="", secrets=[], require_secret=False), Deliver)
    assert status(ask(query="", require_secret=False)) == 401  # configured is demanded


@given(st.text(), st.text(), st.binary(max_size=50))
def test_any_request_without_the_secret_is_401(query: str, header: str, body: bytes) -> None:
    assert status(ask(body, query=query, headers={"x-anew-secret": header})) == 401


def test_refusal_never_repeats_the_secret() -> None:
    refused = ask(query=f"code={OLD}x")

    assert isinstance(refused, Refuse)
    assert OLD not in refused.reason


# --- handshakes -------------------------------------------------------------------------------------------


def test_validation_is_answered_with_its_code_whatever_the_workspace() -> None:
    assert ask(VALIDATION, headers=validation(), workspaces={OTHER_WORKSPACE}) == Validate(CODE)


def test_validation_of_an_unexpected_subscription_is_refused() -> None:
    assert status(ask(VALIDATION, headers=validation("somebody-elses"))) == 403
    assert status(ask(VALIDATION, headers=validation(""))) == 403


def test_validation_passes_for_any_name_when_none_is_configured() -> None:
    assert ask(VALIDATION, headers=validation("any"), subscriptions=[]) == Validate(CODE)


def test_validation_without_the_secret_is_401() -> None:
    assert status(ask(VALIDATION, headers=validation(), query="")) == 401


@pytest.mark.parametrize(
    "body", [b"[]", b"[1]", b'{"data": {"validationCode": "x"}}', EVENT, VALIDATION.replace(CODE.encode(), b"")]
)
def test_malformed_validation_is_400(body: bytes) -> None:
    assert status(ask(body, headers=validation())) == 400


def test_validation_event_without_its_header_is_not_echoed() -> None:
    assert not isinstance(ask(VALIDATION), Validate)


def test_deletion_is_acknowledged() -> None:
    assert ask(headers={"aeg-event-type": "SubscriptionDeletion"}) == Acknowledge()


def test_options_with_an_origin_is_consented_to() -> None:
    headers = {"WebHook-Request-Origin": "eventgrid.azure.net"}

    assert ask(b"", method="OPTIONS", headers=headers) == Consent("eventgrid.azure.net")


def test_options_without_the_secret_reveals_nothing() -> None:
    with_origin = ask(b"", method="OPTIONS", query="", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert with_origin == ask(b"", method="OPTIONS", query="")
    assert status(with_origin) == 401


def test_options_without_an_origin_and_other_methods_are_405() -> None:
    assert status(ask(b"", method="OPTIONS")) == 405
    assert status(ask(method="PUT")) == 405


# --- deliveries -------------------------------------------------------------------------------------------


def test_event_of_another_workspace_is_ignored() -> None:
    action = ask(workspaces={OTHER_WORKSPACE})

    assert isinstance(action, Deliver)
    assert isinstance(action.parsed[0], Ignored)


def test_single_and_batched_bodies_are_delivered_alike() -> None:
    single, batch = ask(), ask(json.dumps([load("drift.cloud.json")] * 3).encode())

    assert isinstance(single, Deliver)
    assert isinstance(batch, Deliver)
    assert isinstance(single.parsed[0], Event)
    assert batch.parsed == single.parsed * 3


def test_malformed_body_is_400() -> None:
    assert status(ask(b"{")) == 400


def test_too_long_a_body_is_413() -> None:
    assert status(ask(b" " * 101, max_body=100)) == 413
    assert status(ask(b" " * 100, max_body=100)) == 400


def test_too_large_a_batch_is_413() -> None:
    assert status(ask(b"[1,1,1]", max_events=2)) == 413
    assert isinstance(ask(b"[1,1]", max_events=2), Deliver)
