"""Entra's signing keys: had when they can be, not fetched as often as somebody likes, never "no" for "perhaps"."""

import asyncio
import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWK

from anew.adapters.azure.entra.keys import (
    LIFETIME,
    LONGEST_OUTAGE,
    PAUSE,
    PAUSE_AFTER_FAILURE,
    Keys,
    SigningKeys,
    fetch_keys,
    parse_keys,
)
from anew.errors import SigningKeysUnavailable
from tests.adapters.azure.entra.made_tokens import key
from tests.adapters.failing_server import failing_server

_T = TypeVar("_T")


class Entra:
    """The key endpoint with a clock: publishes what it is told to, or is away."""

    def __init__(self, *published: str) -> None:
        self.published = list(published)
        self.up = True
        self.now = 1000.0
        self.fetches = 0
        self.keys = SigningKeys(self.fetch, lambda: self.now)

    async def fetch(self) -> Keys:
        self.fetches += 1
        up, published = self.up, dict.fromkeys(self.published, key().public)
        await asyncio.sleep(0)
        if not up:
            raise SigningKeysUnavailable("away")
        return published

    def find(self, kid: str) -> PyJWK | None:
        return _run(self.keys.find(kid))

    def delay(self, kid: str) -> float:
        """For how many seconds it cannot be told whether there is such a key."""
        with pytest.raises(SigningKeysUnavailable) as error:
            self.find(kid)
        return error.value.delay.total_seconds()


def _run(work: Awaitable[_T]) -> _T:
    async def main() -> _T:
        return await work

    return asyncio.run(main())


def test_published_key_is_found_and_kept() -> None:
    entra = Entra("a", "b")
    assert all([entra.find("a"), entra.find("b"), entra.find("a")])
    assert entra.fetches == 1


def test_key_that_is_not_published_is_not_found() -> None:
    assert Entra("a").find("b") is None


def test_requests_at_the_same_time_share_one_fetch() -> None:
    entra = Entra("a")

    async def many() -> list[PyJWK | None]:
        return await asyncio.gather(*(entra.keys.find("a") for _ in range(50)))

    assert all(_run(many()))
    assert entra.fetches == 1


def test_request_that_is_given_up_leaves_the_fetch_to_the_next() -> None:
    entra = Entra("a")

    async def given_up_then_another() -> PyJWK | None:
        first = asyncio.create_task(entra.keys.find("a"))
        second = asyncio.create_task(entra.keys.find("a"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert _run(given_up_then_another())


def test_flood_of_unknown_keys_fetches_once_a_pause() -> None:
    entra = Entra("a")
    entra.find("a")
    entra.now += PAUSE
    assert entra.find("unknown") is None
    for number in range(500):
        assert 0 < entra.delay(f"unknown-{number}") <= PAUSE
    assert entra.fetches == 2


def test_rotation_has_no_gap() -> None:
    entra = Entra("old")
    entra.find("old")
    entra.now += PAUSE
    entra.published.append("new")
    assert all([entra.find("new"), entra.find("old")])


def test_new_key_soon_after_a_fetch_is_awaited_and_not_refused() -> None:
    entra = Entra("old")
    entra.find("old")
    entra.now += 1
    entra.published.append("new")
    entra.now += entra.delay("new")
    assert entra.find("new")


def test_withdrawn_key_is_believed_for_a_lifetime_at_most() -> None:
    entra = Entra("a", "b")
    entra.find("a")
    entra.published.remove("a")
    entra.now += LIFETIME - 1
    assert entra.find("a")
    entra.now += 1
    assert entra.find("a") is None


def test_kept_keys_outlive_an_outage_of_limited_length() -> None:
    entra = Entra("a")
    entra.find("a")
    entra.up = False
    entra.now += LONGEST_OUTAGE
    assert entra.find("a")
    entra.now += 1
    entra.delay("a")
    entra.up = True
    entra.now += PAUSE_AFTER_FAILURE
    assert entra.find("a")


def test_without_keys_it_cannot_be_told_and_is_asked_now_and_then() -> None:
    entra = Entra("a")
    entra.up = False
    delays = [entra.delay("a") for _ in range(100)]
    assert set(delays) == {PAUSE_AFTER_FAILURE}
    assert entra.fetches == 1
    entra.up = True
    entra.now += PAUSE_AFTER_FAILURE
    assert entra.find("a")


STEPS = st.lists(
    st.sampled_from(["rotate", "withdraw", "down", "up", "genuine", "forged"])
    | st.floats(0.1, 2 * LONGEST_OUTAGE, allow_nan=False),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_the_current_key_is_never_called_unknown_nor_an_unknown_one_found(
    steps: list[str | float],
) -> None:
    entra, began, made = Entra("key-0"), 1000.0, 1
    for step in steps:
        if isinstance(step, float):
            entra.now += step
        elif step == "rotate":
            entra.published.append(f"key-{made}")
            made += 1
        elif step == "withdraw":
            del entra.published[:-1]
        elif step in ("up", "down"):
            entra.up = step == "up"
        else:
            kid = entra.published[-1] if step == "genuine" else "forged"
            with suppress(SigningKeysUnavailable):
                assert (entra.find(kid) is not None) is (step == "genuine")
    assert entra.fetches <= 1 + (entra.now - began) / PAUSE_AFTER_FAILURE


# --- the endpoint -----------------------------------------------------------------------------------------


def test_keys_are_fetched_over_http() -> None:
    with failing_server() as server:
        server.status, server.body = 200, json.dumps({"keys": [key("a").jwk, key("b").jwk]})
        assert set(_run(fetch_keys(server.url))) == {"a", "b"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, json.dumps({"keys": [key("a").jwk]})),
        (302, json.dumps({"keys": [key("a").jwk]})),
        (200, "<html>"),
        (200, "[]"),
        (200, '{"keys": []}'),
        (200, "[" * 100_000),
        (200, json.dumps({"keys": [key("a").jwk], "pad": "x" * 1024 * 1024})),
    ],
)
def test_answer_without_keys_is_no_answer(status: int, body: str) -> None:
    with failing_server() as server:
        server.status, server.body = status, body
        server.headers = {"Location": f"{server.url}/elsewhere"}
        with pytest.raises(SigningKeysUnavailable, match="signing keys"):
            _run(fetch_keys(server.url))


def test_endpoint_that_cannot_be_reached_is_no_answer() -> None:
    with failing_server() as server:
        url = server.url
    with pytest.raises(SigningKeysUnavailable, match="no answer"):
        _run(fetch_keys(url))


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "kid": "x", "k": "c2VjcmV0"},
        {"kty": "EC", "kid": "x", "crv": "P-256", "x": "AA", "y": "AA"},
        key("x").jwk | {"use": "enc"},
        key("x").jwk | {"kid": 1},
        key("x").jwk | {"n": "!"},
        key("small", 1024).jwk,
        {name: value for name, value in key("x").jwk.items() if name != "kid"},
        "x",
    ],
)
def test_unusable_key_is_left_out_and_the_others_are_kept(unusable: Any) -> None:
    assert set(parse_keys(json.dumps({"keys": [unusable, key("a").jwk]}).encode())) == {"a"}


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()))
def test_any_other_bytes_hold_no_keys(body: bytes) -> None:
    assert parse_keys(body) == {}
