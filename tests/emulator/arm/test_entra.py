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
def test_event_grid_token_is_accepted(azure: RunningAzure, version: Any) -> None:
    """A token that local Entra issues to Event Grid is accepted in both versions."""
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
def test_wrong_claim_is_refused(azure: RunningAzure, claims: dict[str, Any], expected: int) -> None:
    """A token with one wrong or missing claim is refused with 401 or 403."""
    assert status(authenticator(azure), azure.control.entra_token(TENANT, APPLICATION, claims=claims)) == expected


def test_rotation_accepts_both_keys(azure: RunningAzure) -> None:
    """Tokens of the old and the new key are accepted until the old key is withdrawn."""
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


def test_missing_keys_are_a_503(azure: RunningAzure) -> None:
    """While the signing keys are down, requests get 503 and the keys are fetched once."""
    token = azure.control.entra_token(TENANT, APPLICATION)
    azure.control.set_modes(entra_down=1)
    door = authenticator(azure)
    assert [status(door, token) for _ in range(5)] == [503] * 5
    assert len(azure.control.journal("entra.keys_read")) == 1


def test_keys_survive_a_restart(tmp_path: Path) -> None:
    """The published keys survive a restart of local Azure."""
    with run_local_azure(tmp_path / "azure") as first:
        first.control.entra_token(TENANT, APPLICATION)
        before = published(first)
    with run_local_azure(tmp_path / "azure") as second:
        assert published(second) == before


@pytest.mark.parametrize("version", [1, 2])
def test_protected_webhook_gets_tokens(azure: RunningAzure, webhook: ReceivingWebhook, version: int) -> None:
    """A protected webhook gets a valid token with the handshake and with each delivery."""
    azure.control.set_modes(entra_token_version=version)
    assert subscribe(azure, webhook.url, AUDIENCE) == "Succeeded"
    azure.control.publish(ml_events.model_registered(WORKSPACE_ID, name="m", version="1", tags={}, properties={}))
    wait_until(lambda: len(webhook.headers) == 2)
    door = authenticator(azure)
    kinds = [headers["aeg-event-type"] for headers in webhook.headers]
    assert kinds == ["SubscriptionValidation", "Notification"]
    assert [asyncio.run(door.refuse(headers, "", None)) for headers in webhook.headers] == [None, None]


def test_unprotected_webhook_gets_no_token(azure: RunningAzure, webhook: ReceivingWebhook) -> None:
    """A webhook that is not protected gets no token."""
    subscribe(azure, webhook.url, None)
    assert [headers for headers in webhook.headers if "authorization" in headers] == []


def test_cloud_events_handshake_needs_no_token(azure: RunningAzure, webhook: ReceivingWebhook) -> None:
    """The handshake of CloudEvents is accepted without a token."""
    subscribe(azure, webhook.url, AUDIENCE, cloud_events=True)
    door = authenticator(azure)
    assert [asyncio.run(door.refuse(headers, "", None, handshake=True)) for headers in webhook.headers] == [None]


def test_half_an_audience_is_refused(azure: RunningAzure, webhook: ReceivingWebhook) -> None:
    """A subscription with a tenant but no application is refused."""
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
def test_unsafe_settings_are_refused(wrong: dict[str, Any]) -> None:
    """Settings that would accept too many callers are an error."""
    with pytest.raises(ValueError, match="Value error"):
        Entra(**wrong)


def test_public_webhook_needs_credentials() -> None:
    """A webhook that listens beyond loopback needs credentials."""
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
def test_first_secret_is_added_once(url: str, secrets: tuple[str, ...], expected: str) -> None:
    """The command adds the first secret to the address unless it has one already."""
    assert with_secret(url, Webhook.model_validate({"secrets": secrets})) == expected
