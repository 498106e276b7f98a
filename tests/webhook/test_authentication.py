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


def test_secret_works_by_query_or_header() -> None:
    """The secret is accepted in the query or in a header."""
    door = Door(SECRET)
    assert door.knock(SECRET) is None
    assert door.knock(headers={"x-anew-secret": SECRET}) is None


@pytest.mark.parametrize("code", [None, "", "wrong", SECRET[:-1], SECRET + "x", SECRET.upper(), "\udc80"])
def test_wrong_secret_is_refused(code: str | None) -> None:
    """A wrong or missing secret gets 401."""
    headers = {} if code is None else {"x-anew-secret": code}
    refusal = Door(SECRET).knock(headers=headers)
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (401, {"WWW-Authenticate": 'Bearer realm="anew"'})


@given(st.text(min_size=16).filter(lambda text: len(text.strip()) >= 16), st.text())
def test_any_text_can_be_a_secret(secret: str, other: str) -> None:
    """A secret of any characters is accepted, and another text is not."""
    assert Door(secret).knock(secret) is None
    if other != secret:
        assert Door(secret).status(other) == 401


def test_rotation_accepts_both_secrets() -> None:
    """During a rotation both the old and the new secret are accepted."""
    door = Door(NEXT, SECRET)
    assert (door.status(SECRET), door.status(NEXT)) == (200, 200)
    assert (Door(NEXT).status(SECRET), Door(NEXT).status(NEXT)) == (401, 200)


def test_one_secret_per_request() -> None:
    """A request cannot try many secrets at once."""
    guesses = "&".join(f"code=guess-{number}" for number in range(100))
    refusal = asyncio.run(Door(SECRET).authenticator.refuse({}, f"{guesses}&code={SECRET}", CLIENT))
    assert refusal is not None


@pytest.mark.parametrize("secret", ["", "x" * 15, " " * 20])
def test_weak_secret_is_refused(secret: str) -> None:
    """A weak secret is a settings error, and the error does not show it."""
    with pytest.raises(InvalidSettings) as error:
        Door(SECRET, secret)
    assert not secret.strip() or secret not in str(error.value)


def test_open_webhook_must_be_explicit() -> None:
    """A webhook without credentials is open only when that is configured."""
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
def test_token_error_decides_the_status(error: Exception, status: int) -> None:
    """The kind of a token error decides the status, and with it whether Event Grid retries."""
    refusal = Door(bearer=Verifier(error)).knock(token="another")
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (status, str(error))
    assert refusal.headers.get("Retry-After") == ("10" if status == 503 else None)


@pytest.mark.parametrize("header", ["Basic x", "Bearer", TOKEN, "", f"Bearer{TOKEN}"])
def test_missing_bearer_token_is_refused(header: str) -> None:
    """A request without a bearer token gets 401."""
    refusal = Door(bearer=Verifier()).knock(headers={"authorization": header})
    assert refusal is not None
    assert refusal.status == 401


def test_verifier_fault_admits_no_request() -> None:
    """A fault of the verifier admits no request."""
    with pytest.raises(ZeroDivisionError):
        Door(bearer=Verifier(ZeroDivisionError())).knock(token="another")


ADMITTED: dict[Require, set[tuple[bool, bool]]] = {
    "all": {(True, True)},
    "any": {(True, True), (True, False), (False, True)},
}


@pytest.mark.parametrize("require", ["all", "any"])
@pytest.mark.parametrize(("knows", "has"), list(itertools.product([True, False], repeat=2)))
def test_require_combines_both_credentials(require: Require, knows: bool, has: bool) -> None:
    """With both kinds of credentials `require` decides whether one or both are needed."""
    status = Door(SECRET, bearer=Verifier(), require=require).status(SECRET if knows else "x", TOKEN if has else "y")
    assert (status == 200) is ((knows, has) in ADMITTED[require])


@pytest.mark.parametrize("require", ["all", "any"])
def test_require_is_irrelevant_for_one(require: Require) -> None:
    """With one kind of credentials `require` changes nothing."""
    assert Door(SECRET, require=require).status("wrong", TOKEN) == 401
    assert Door(bearer=Verifier(), require=require).status(SECRET) == 401


def test_missing_keys_delay_only_tokens() -> None:
    """Unavailable signing keys affect only requests that need a token."""
    away = Verifier(SigningKeysUnavailable("away"))
    assert Door(SECRET, bearer=away, require="any").status(SECRET, "unknown") == 200
    assert Door(SECRET, bearer=away).status("wrong", "unknown") == 401
    assert Door(SECRET, bearer=away).status(SECRET, "unknown") == 503


def test_handshake_needs_only_the_secret() -> None:
    """A handshake needs the secret and no token, but a wrong token is refused."""
    door = Door(SECRET, bearer=Verifier())
    assert door.knock(SECRET, handshake=True) is None
    assert door.knock("wrong", handshake=True) is not None
    assert door.knock(SECRET, "wrong", handshake=True) is not None
    assert Door(bearer=Verifier()).knock(handshake=True) is None


# --- limits -----------------------------------------------------------------------------------------------


def test_failures_are_limited_and_forgiven() -> None:
    """The failures of an address are limited and forgiven one by one."""
    door = Door(SECRET)
    assert [door.status("wrong") for _ in range(4)] == [401, 401, 401, 429]
    refusal = door.knock("wrong")
    assert refusal is not None
    assert refusal.headers == {"Retry-After": "10"}
    door.now += 10
    assert [door.status("wrong"), door.status("wrong")] == [401, 429]
    door.now += 30
    assert [door.status("wrong") for _ in range(4)] == [401, 401, 401, 429]


def test_limited_requests_are_not_verified() -> None:
    """Beyond the limit no credential is verified."""
    verifier = Verifier()
    door = Door(bearer=verifier)
    for number in range(100):
        door.knock(token=f"forged-{number}")
    assert verifier.asked == LIMIT.burst


def test_limit_hides_right_guesses() -> None:
    """Beyond the limit a right guess gets the same answer as a wrong one."""
    door = Door(SECRET)
    for _ in range(LIMIT.burst):
        door.knock("wrong")
    assert (door.status("wrong"), door.status(SECRET)) == (429, 429)


def test_failures_of_others_are_irrelevant() -> None:
    """The failures of other addresses lock out no caller."""
    door = Door(SECRET)
    for number in range(1000):
        door.knock("wrong", client=f"198.51.100.{number % 250}")
    assert door.status(SECRET) == 200


def test_known_caller_survives_attacks() -> None:
    """A caller accepted before stays accepted although an attacker shares its address."""
    door = Door(SECRET, bearer=Verifier())
    assert door.status(SECRET, TOKEN) == 200
    for _ in range(100):
        door.knock("wrong", "forged")
    assert door.status(SECRET, "forged") == 429
    assert door.status(SECRET, TOKEN) == 200


def test_revoked_credential_is_limited() -> None:
    """A credential that is no longer valid is limited like any other."""
    verifier = Verifier()
    door = Door(bearer=verifier)
    door.knock(token=TOKEN)
    for _ in range(LIMIT.burst):
        door.knock(token="forged")

    async def expired(token: str) -> None:
        raise InvalidToken("the token has expired")

    verifier.verify = expired
    assert [door.status(token=TOKEN) for _ in range(2)] == [401, 429]


def test_inconclusive_check_is_no_failure() -> None:
    """An inconclusive check does not count as a failed attempt."""
    door = Door(bearer=Verifier(SigningKeysUnavailable("away")))
    assert {door.status(token="perhaps") for _ in range(100)} == {503}


def test_handshake_resets_no_limit() -> None:
    """A handshake without a token does not help to guess the secret."""
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
def test_one_host_is_one_address(one: str | None, other: str | None, same: bool) -> None:
    """The addresses of one host share one limit."""
    assert (bucket_of(one) == bucket_of(other)) is same


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 30)), max_size=60))
def test_attempts_stay_within_the_limit(attempts: list[tuple[int, float]]) -> None:
    """No address gets more verified attempts than the limit allows."""
    limit = FailureLimit(burst=3, seconds_each=10.0, addresses=100)
    failures, now, measured_at = FailedAttempts(limit), 0.0, dict.fromkeys(range(10), 0)
    for number, pause in attempts:
        now += pause
        if failures.wait(str(number), now) == 0:
            measured_at[number] += 1
            failures.count(str(number), now)
    assert max(measured_at.values()) <= limit.burst + now / limit.seconds_each + 1e-6


@given(st.lists(st.integers(0, 50), max_size=200))
def test_failure_memory_is_bounded(numbers: list[int]) -> None:
    """The memory of failed attempts is bounded."""
    failures = FailedAttempts(LIMIT)
    for at, number in enumerate(numbers):
        failures.count(str(number), float(at) / 1000)
    assert len(failures) <= LIMIT.addresses


def test_concurrent_failures_are_capped() -> None:
    """Concurrent failures count at most as much as the burst."""
    failures = FailedAttempts(LIMIT)
    for _ in range(1000):
        failures.count("a", 0.0)
    assert failures.wait("a", 0.0) == LIMIT.seconds_each


# --- what is told -----------------------------------------------------------------------------------------


def test_secrets_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    """No secret appears in a refusal, a representation or a log record."""
    caplog.set_level(logging.DEBUG)
    door = Door(SECRET, NEXT, bearer=Verifier(), limit=FailureLimit(burst=1000))
    codes, tokens = [SECRET, "offered-in-vain"], [TOKEN, "forged-in-vain", None]
    told = [str(door.knock(code, token)) for code in codes for token in tokens]
    told += [repr(door.authenticator), caplog.text]
    held = [SECRET, NEXT, TOKEN, "offered-in-vain", "forged-in-vain"]
    assert [text for text in told if any(each in text for each in held)] == []
