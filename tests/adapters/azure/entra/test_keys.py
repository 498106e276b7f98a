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


def test_published_key_is_cached() -> None:
    """A published key is found, and one fetch serves later lookups of all keys."""
    entra = Entra("a", "b")
    assert all([entra.find("a"), entra.find("b"), entra.find("a")])
    assert entra.fetches == 1


def test_unpublished_key_is_not_found() -> None:
    """A key that Entra does not publish is not found."""
    assert Entra("a").find("b") is None


def test_concurrent_lookups_share_one_fetch() -> None:
    """Concurrent lookups share one fetch of the keys."""
    entra = Entra("a")

    async def many() -> list[PyJWK | None]:
        return await asyncio.gather(*(entra.keys.find("a") for _ in range(50)))

    assert all(_run(many()))
    assert entra.fetches == 1


def test_cancelled_lookup_spares_the_next() -> None:
    """A cancelled lookup leaves the fetch to the next one, which still finds its key."""
    entra = Entra("a")

    async def given_up_then_another() -> PyJWK | None:
        first = asyncio.create_task(entra.keys.find("a"))
        second = asyncio.create_task(entra.keys.find("a"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert _run(given_up_then_another())


def test_unknown_keys_cannot_force_fetches() -> None:
    """A flood of unknown keys causes at most one fetch per pause."""
    entra = Entra("a")
    entra.find("a")
    entra.now += PAUSE
    assert entra.find("unknown") is None
    for number in range(500):
        assert 0 < entra.delay(f"unknown-{number}") <= PAUSE
    assert entra.fetches == 2


def test_rotation_has_no_gap() -> None:
    """During a rotation both the new and the old key are found."""
    entra = Entra("old")
    entra.find("old")
    entra.now += PAUSE
    entra.published.append("new")
    assert all([entra.find("new"), entra.find("old")])


def test_new_key_is_awaited_not_refused() -> None:
    """A key published right after a fetch is found after the pause and not refused before."""
    entra = Entra("old")
    entra.find("old")
    entra.now += 1
    entra.published.append("new")
    entra.now += entra.delay("new")
    assert entra.find("new")


def test_withdrawn_key_expires_with_its_lifetime() -> None:
    """A withdrawn key is accepted for at most one lifetime of the cache."""
    entra = Entra("a", "b")
    entra.find("a")
    entra.published.remove("a")
    entra.now += LIFETIME - 1
    assert entra.find("a")
    entra.now += 1
    assert entra.find("a") is None


def test_cached_keys_survive_limited_outage() -> None:
    """Cached keys stay valid through an outage up to its longest allowed duration, and no longer."""
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


def test_missing_keys_are_refetched_seldom() -> None:
    """Without keys a lookup is inconclusive, and a fetch is retried only after the pause."""
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
def test_lookups_are_never_wrong(
    steps: list[str | float],
) -> None:
    """Under any sequence of events no lookup misjudges a key, and fetches stay limited."""
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
    """The keys are fetched from the published key set over HTTP."""
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
def test_malformed_key_set_is_unavailable(status: int, body: str) -> None:
    """An error, a redirect or a malformed key set counts as unavailable signing keys."""
    with failing_server() as server:
        server.status, server.body = status, body
        server.headers = {"Location": f"{server.url}/elsewhere"}
        with pytest.raises(SigningKeysUnavailable, match="signing keys"):
            _run(fetch_keys(server.url))


def test_unreachable_endpoint_is_unavailable() -> None:
    """A key endpoint that cannot be reached counts as unavailable signing keys."""
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
def test_unusable_key_is_skipped(unusable: Any) -> None:
    """An unusable key is skipped and the others are kept."""
    assert set(parse_keys(json.dumps({"keys": [unusable, key("a").jwk]}).encode())) == {"a"}


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()))
def test_arbitrary_bytes_hold_no_keys(body: bytes) -> None:
    """Arbitrary bytes parse to an empty key set without an error."""
    assert parse_keys(body) == {}
