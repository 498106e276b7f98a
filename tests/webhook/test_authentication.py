"""Who is let in, who is not, who must wait, and that none of it tells a secret."""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.errors import InvalidSettings, InvalidToken, SigningKeysUnavailable, TokenNotPermitted
from anew.webhook.authentication import Authenticator, Refusal, Require
from anew.webhook.failed_attempts import FailedAttempts, FailureLimit, bucket_of

SECRET = "the-secret-of-some-length"
NEXT = "the-next-secret-of-some-length"
TOKEN = "genuine.token.text"
LIMIT = FailureLimit(burst=3, seconds_each=10.0, addresses=4)
CLIENT = "192.0.2.1"


class Verifier:
    """Knows one token; raises what it is told for the others."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or InvalidToken("the token's signature is wrong")
        self.asked = 0

    async def verify(self, token: str) -> None:
        self.asked += 1
        if token != TOKEN:
            raise self.error


class Door:
    """An authenticator and its clock."""

    def __init__(
        self,
        *secrets: str,
        bearer: Verifier | None = None,
        require: Require = "all",
        limit: FailureLimit = LIMIT,
    ) -> None:
        self.now = 0.0
        self.authenticator = Authenticator(secrets, bearer, require=require, limit=limit, monotonic=lambda: self.now)

    def knock(
        self,
        code: str | None = None,
        token: str | None = None,
        *,
        client: str | None = CLIENT,
        handshake: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Refusal | None:
        sent = dict(headers or {}) | ({} if token is None else {"authorization": f"Bearer {token}"})
        query = "" if code is None else f"a=b&code={quote(code)}"
        return asyncio.run(self.authenticator.refuse(sent, query, client, handshake=handshake))

    def status(self, code: str | None = None, token: str | None = None, *, client: str | None = CLIENT) -> int:
        """200 stands for admitted."""
        refusal = self.knock(code, token, client=client)
        return refusal.status if refusal else 200


# --- secrets ----------------------------------------------------------------------------------------------


def test_secret_lets_in_by_query_or_header() -> None:
    door = Door(SECRET)
    assert door.knock(SECRET) is None
    assert door.knock(headers={"x-anew-secret": SECRET}) is None


@pytest.mark.parametrize("code", [None, "", "wrong", SECRET[:-1], SECRET + "x", SECRET.upper(), "\udc80"])
def test_wrong_secret_is_refused(code: str | None) -> None:
    headers = {} if code is None else {"x-anew-secret": code}
    refusal = Door(SECRET).knock(headers=headers)
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (401, {"WWW-Authenticate": 'Bearer realm="anew"'})


@given(st.text(min_size=16).filter(lambda text: len(text.strip()) >= 16), st.text())
def test_a_secret_of_any_letters_lets_in_and_another_does_not(secret: str, other: str) -> None:
    assert Door(secret).knock(secret) is None
    if other != secret:
        assert Door(secret).status(other) == 401


def test_old_and_new_secret_both_let_in_during_a_rotation() -> None:
    door = Door(NEXT, SECRET)
    assert (door.status(SECRET), door.status(NEXT)) == (200, 200)
    assert (Door(NEXT).status(SECRET), Door(NEXT).status(NEXT)) == (401, 200)


def test_a_request_cannot_try_many_secrets_at_once() -> None:
    guesses = "&".join(f"code=guess-{number}" for number in range(100))
    refusal = asyncio.run(Door(SECRET).authenticator.refuse({}, f"{guesses}&code={SECRET}", CLIENT))
    assert refusal is not None


@pytest.mark.parametrize("secret", ["", "x" * 15, " " * 20])
def test_secret_that_could_be_guessed_is_a_settings_error_that_does_not_show_it(secret: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        Door(SECRET, secret)
    assert not secret.strip() or secret not in str(error.value)


def test_a_webhook_without_credentials_is_open_only_when_it_is_said_so() -> None:
    with pytest.raises(InvalidSettings):
        Authenticator()
    assert asyncio.run(Authenticator(open_to_all=True).refuse({}, "", CLIENT)) is None


# --- tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidToken("expired"), 401),
        (TokenNotPermitted("no role"), 403),
        (SigningKeysUnavailable("away", delay=timedelta(seconds=9.5)), 503),
    ],
)
def test_what_is_wrong_with_a_token_decides_whether_event_grid_tries_again(error: Exception, status: int) -> None:
    refusal = Door(bearer=Verifier(error)).knock(token="another")
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (status, str(error))
    assert refusal.headers.get("Retry-After") == ("10" if status == 503 else None)


@pytest.mark.parametrize("header", ["Basic x", "Bearer", TOKEN, "", f"Bearer{TOKEN}"])
def test_without_a_bearer_token_nobody_is_let_in(header: str) -> None:
    refusal = Door(bearer=Verifier()).knock(headers={"authorization": header})
    assert refusal is not None
    assert refusal.status == 401


def test_a_fault_of_the_verifier_lets_nobody_in() -> None:
    with pytest.raises(ZeroDivisionError):
        Door(bearer=Verifier(ZeroDivisionError())).knock(token="another")


ADMITTED: dict[Require, set[tuple[bool, bool]]] = {
    "all": {(True, True)},
    "any": {(True, True), (True, False), (False, True)},
}


@pytest.mark.parametrize("require", ["all", "any"])
@pytest.mark.parametrize(("knows", "has"), list(itertools.product([True, False], repeat=2)))
def test_with_both_kinds_configured_require_decides(require: Require, knows: bool, has: bool) -> None:
    status = Door(SECRET, bearer=Verifier(), require=require).status(SECRET if knows else "x", TOKEN if has else "y")
    assert (status == 200) is ((knows, has) in ADMITTED[require])


@pytest.mark.parametrize("require", ["all", "any"])
def test_with_one_kind_configured_require_changes_nothing(require: Require) -> None:
    assert Door(SECRET, require=require).status("wrong", TOKEN) == 401
    assert Door(bearer=Verifier(), require=require).status(SECRET) == 401


def test_keys_that_are_away_do_not_hold_up_who_needs_no_token() -> None:
    away = Verifier(SigningKeysUnavailable("away"))
    assert Door(SECRET, bearer=away, require="any").status(SECRET, "unknown") == 200
    assert Door(SECRET, bearer=away).status("wrong", "unknown") == 401
    assert Door(SECRET, bearer=away).status(SECRET, "unknown") == 503


def test_handshake_needs_the_secret_and_no_token_but_not_a_wrong_one() -> None:
    door = Door(SECRET, bearer=Verifier())
    assert door.knock(SECRET, handshake=True) is None
    assert door.knock("wrong", handshake=True) is not None
    assert door.knock(SECRET, "wrong", handshake=True) is not None
    assert Door(bearer=Verifier()).knock(handshake=True) is None


# --- limits -----------------------------------------------------------------------------------------------


def test_failures_of_an_address_are_limited_and_forgiven_one_by_one() -> None:
    door = Door(SECRET)
    assert [door.status("wrong") for _ in range(4)] == [401, 401, 401, 429]
    refusal = door.knock("wrong")
    assert refusal is not None
    assert refusal.headers == {"Retry-After": "10"}
    door.now += 10
    assert [door.status("wrong"), door.status("wrong")] == [401, 429]
    door.now += 30
    assert [door.status("wrong") for _ in range(4)] == [401, 401, 401, 429]


def test_beyond_the_limit_nothing_is_looked_at() -> None:
    verifier = Verifier()
    door = Door(bearer=verifier)
    for number in range(100):
        door.knock(token=f"forged-{number}")
    assert verifier.asked == LIMIT.burst


def test_beyond_the_limit_a_right_guess_is_not_told_from_a_wrong_one() -> None:
    door = Door(SECRET)
    for _ in range(LIMIT.burst):
        door.knock("wrong")
    assert (door.status("wrong"), door.status(SECRET)) == (429, 429)


def test_failures_of_others_do_not_lock_anybody_out() -> None:
    door = Door(SECRET)
    for number in range(1000):
        door.knock("wrong", client=f"198.51.100.{number % 250}")
    assert door.status(SECRET) == 200


def test_who_was_let_in_stays_in_although_an_attacker_shares_the_address() -> None:
    door = Door(SECRET, bearer=Verifier())
    assert door.status(SECRET, TOKEN) == 200
    for _ in range(100):
        door.knock("wrong", "forged")
    assert door.status(SECRET, "forged") == 429
    assert door.status(SECRET, TOKEN) == 200


def test_a_credential_that_stopped_being_good_is_limited_like_any_other() -> None:
    verifier = Verifier()
    door = Door(bearer=verifier)
    door.knock(token=TOKEN)
    for _ in range(LIMIT.burst):
        door.knock(token="forged")

    async def expired(token: str) -> None:
        raise InvalidToken("the token has expired")

    verifier.verify = expired
    assert [door.status(token=TOKEN) for _ in range(2)] == [401, 429]


def test_what_cannot_be_told_is_no_failed_attempt() -> None:
    door = Door(bearer=Verifier(SigningKeysUnavailable("away")))
    assert {door.status(token="perhaps") for _ in range(100)} == {503}


def test_a_handshake_without_a_token_proves_nothing() -> None:
    door = Door(SECRET, bearer=Verifier(), require="any")
    statuses: list[int] = []
    for number in range(100):
        door.knock(f"guess-{number}", handshake=True)
        statuses.append(door.status(f"guess-{number}"))
    assert statuses.count(401) == LIMIT.burst


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        (None, "no address", True),
    ],
)
def test_addresses_of_one_host_count_as_one(one: str | None, other: str | None, same: bool) -> None:
    assert (bucket_of(one) == bucket_of(other)) is same


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 30)), max_size=60))
def test_no_address_is_looked_at_more_often_than_the_limit_says(attempts: list[tuple[int, float]]) -> None:
    limit = FailureLimit(burst=3, seconds_each=10.0, addresses=100)
    failures, now, measured_at = FailedAttempts(limit), 0.0, dict.fromkeys(range(10), 0)
    for number, pause in attempts:
        now += pause
        if failures.wait(str(number), now) == 0:
            measured_at[number] += 1
            failures.count(str(number), now)
    assert max(measured_at.values()) <= limit.burst + now / limit.seconds_each + 1e-6


@given(st.lists(st.integers(0, 50), max_size=200))
def test_memory_is_bounded_and_the_newest_are_kept(numbers: list[int]) -> None:
    failures = FailedAttempts(LIMIT)
    for at, number in enumerate(numbers):
        failures.count(str(number), float(at) / 1000)
    assert len(failures) <= LIMIT.addresses


def test_failures_under_way_together_count_as_the_burst_at_most() -> None:
    failures = FailedAttempts(LIMIT)
    for _ in range(1000):
        failures.count("a", 0.0)
    assert failures.wait("a", 0.0) == LIMIT.seconds_each


# --- what is told -----------------------------------------------------------------------------------------


def test_no_secret_is_in_a_refusal_a_repr_or_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    door = Door(SECRET, NEXT, bearer=Verifier(), limit=FailureLimit(burst=1000))
    codes, tokens = [SECRET, "offered-in-vain"], [TOKEN, "forged-in-vain", None]
    told = [str(door.knock(code, token)) for code in codes for token in tokens]
    told += [repr(door.authenticator), caplog.text]
    held = [SECRET, NEXT, TOKEN, "offered-in-vain", "forged-in-vain"]
    assert [text for text in told if any(each in text for each in held)] == []
