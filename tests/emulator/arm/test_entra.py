"""Local Entra: its tokens are those anew lets in, its keys change, and Event Grid proves itself with them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.eventgrid import EventGridManagementClient

from anew.adapters.azure.event_grid.subscriptions import Audience, subscribe_webhook
from anew.cli.events.parse import with_secret
from anew.core.events.event import Workspace
from anew.emulator.machine_learning import events as ml_events
from anew.errors import AzureRefused, InvalidSettings
from anew.settings import Entra, Settings, Webhook
from anew.webhook.authentication import Authenticator
from anew.wiring import webhook_authenticator
from tests.emulator.event_grid.webhook import ReceivingWebhook, receiving_webhook
from tests.emulator.support import (
    RESOURCE_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    WORKSPACE_ID,
    RunningAzure,
    run_local_azure,
    wait_until,
)

TENANT = "11111111-aaaa-4bbb-8ccc-222222222222"
OTHER = "99999999-aaaa-4bbb-8ccc-999999999999"
APPLICATION = "api://anew"
AUDIENCE = Audience(TENANT, APPLICATION)


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[RunningAzure]:
    with run_local_azure(tmp_path / "azure") as running:
        running.control.set_modes(retry_scale=0.002)
        yield running


@pytest.fixture
def webhook() -> Iterator[ReceivingWebhook]:
    with receiving_webhook() as hook:
        yield hook


def authenticator(azure: RunningAzure, *secrets: str) -> Authenticator:
    """What the webhook would let in, by its settings."""
    entra = Entra(tenant_id=TENANT, audiences=(APPLICATION,), authority=azure.base_url)
    return webhook_authenticator(Settings(webhook=Webhook(secrets=secrets, entra=entra)), on_loopback=False)  # pyright: ignore[reportArgumentType] - pydantic makes the secrets


def status(door: Authenticator, token: str) -> int:
    refusal = asyncio.run(door.refuse({"authorization": f"Bearer {token}"}, "", "192.0.2.1"))
    return refusal.status if refusal else 200


def subscribe(azure: RunningAzure, url: str, audience: Audience | None, *, cloud_events: bool = False) -> str:
    at = azure.connection
    client = EventGridManagementClient(
        at.credential, SUBSCRIPTION, base_url=at.base_url, polling_interval=0.05, per_call_policies=at.policies()
    )
    workspace = Workspace(SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE)
    return subscribe_webhook(client, workspace, url, "anew", cloud_events=cloud_events, audience=audience)


def published(azure: RunningAzure) -> set[str]:
    answer: Any = httpx.get(f"{azure.base_url}/{TENANT}/discovery/v2.0/keys").json()
    return {key["kid"] for key in answer["keys"]}


@pytest.mark.parametrize("version", [1, 2])
def test_token_of_event_grid_is_let_in(azure: RunningAzure, version: Any) -> None:
    assert status(authenticator(azure), azure.control.entra_token(TENANT, APPLICATION, version=version)) == 200


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"tid": OTHER}, 401),
        ({"aud": "api://other"}, 401),
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"appid": OTHER}, 403),
        ({"roles": None}, 403),
    ],
)
def test_token_with_another_claim_is_refused(azure: RunningAzure, claims: dict[str, Any], expected: int) -> None:
    assert status(authenticator(azure), azure.control.entra_token(TENANT, APPLICATION, claims=claims)) == expected


def test_tokens_of_the_old_and_the_new_key_are_let_in_until_the_old_one_is_withdrawn(azure: RunningAzure) -> None:
    old = azure.control.entra_token(TENANT, APPLICATION)
    azure.control.rotate_entra_key()
    new = azure.control.entra_token(TENANT, APPLICATION)
    door = authenticator(azure)
    assert (status(door, old), status(door, new)) == (200, 200)
    old_key = jwt.get_unverified_header(old)["kid"]
    azure.control.withdraw_entra_key(old_key)
    assert old_key not in published(azure)
    fresh = authenticator(azure)
    assert (status(fresh, old), status(fresh, new)) == (401, 200)


def test_nobody_is_refused_for_good_while_the_keys_are_away(azure: RunningAzure) -> None:
    token = azure.control.entra_token(TENANT, APPLICATION)
    azure.control.set_modes(entra_down=1)
    door = authenticator(azure)
    assert [status(door, token) for _ in range(5)] == [503] * 5
    assert len(azure.control.journal("entra.keys_read")) == 1


def test_keys_survive_a_restart(tmp_path: Path) -> None:
    with run_local_azure(tmp_path / "azure") as first:
        first.control.entra_token(TENANT, APPLICATION)
        before = published(first)
    with run_local_azure(tmp_path / "azure") as second:
        assert published(second) == before


@pytest.mark.parametrize("version", [1, 2])
def test_protected_webhook_gets_a_token_with_handshake_and_delivery(
    azure: RunningAzure, webhook: ReceivingWebhook, version: int
) -> None:
    azure.control.set_modes(entra_token_version=version)
    assert subscribe(azure, webhook.url, AUDIENCE) == "Succeeded"
    azure.control.publish(ml_events.model_registered(WORKSPACE_ID, name="m", version="1", tags={}, properties={}))
    wait_until(lambda: len(webhook.headers) == 2)
    door = authenticator(azure)
    kinds = [headers["aeg-event-type"] for headers in webhook.headers]
    assert kinds == ["SubscriptionValidation", "Notification"]
    assert [asyncio.run(door.refuse(headers, "", None)) for headers in webhook.headers] == [None, None]


def test_webhook_that_is_not_protected_gets_no_token(azure: RunningAzure, webhook: ReceivingWebhook) -> None:
    subscribe(azure, webhook.url, None)
    assert [headers for headers in webhook.headers if "authorization" in headers] == []


def test_handshake_of_cloud_events_is_let_in_without_a_token(azure: RunningAzure, webhook: ReceivingWebhook) -> None:
    subscribe(azure, webhook.url, AUDIENCE, cloud_events=True)
    door = authenticator(azure)
    assert [asyncio.run(door.refuse(headers, "", None, handshake=True)) for headers in webhook.headers] == [None]


def test_subscription_with_a_tenant_and_no_application_is_refused(
    azure: RunningAzure, webhook: ReceivingWebhook
) -> None:
    with pytest.raises((AzureRefused, HttpResponseError), match="both a tenant and an application"):
        subscribe(azure, webhook.url, Audience(TENANT, ""))


# --- settings and the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant_id": "contoso.com", "audiences": ["a"]},
        {"tenant_id": TENANT},
        {"tenant_id": TENANT, "audiences": [""]},
        {"tenant_id": TENANT, "audiences": ["a"], "role": ""},
        {"tenant_id": TENANT, "audiences": ["a"], "event_grid_application_id": ""},
        {"tenant_id": TENANT, "audiences": ["a"], "authority": "http://login.microsoftonline.com"},
        {"audiences": ["a"]},
    ],
)
def test_settings_that_would_let_in_too_many_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Value error"):
        Entra(**wrong)


def test_webhook_off_loopback_needs_credentials() -> None:
    with pytest.raises(InvalidSettings, match="anybody could send"):
        webhook_authenticator(Settings(), on_loopback=False)


@pytest.mark.parametrize(
    ("url", "secrets", "expected"),
    [
        ("https://h/events", ("first+&secret-of-16", "second-secret-of-16"), "https://h/events?code=first%2B%26secret-of-16"),
        ("https://h/events?a=b", ("first-secret-of-16",), "https://h/events?a=b&code=first-secret-of-16"),
        ("https://h/events?code=given", ("first-secret-of-16",), "https://h/events?code=given"),
        ("https://h/events", (), "https://h/events"),
    ],
)  # fmt: skip
def test_command_adds_the_first_secret_unless_the_address_has_one(
    url: str, secrets: tuple[str, ...], expected: str
) -> None:
    assert with_secret(url, Webhook.model_validate({"secrets": secrets})) == expected
