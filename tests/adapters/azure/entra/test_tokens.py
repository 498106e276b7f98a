"""Entra tokens: the genuine ones pass, and each thing that is wrong with one is enough to refuse it."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import example, given
from hypothesis import strategies as st

from anew.adapters.azure.entra.keys import Keys, SigningKeys
from anew.adapters.azure.entra.tokens import MAX_TOKEN, EntraVerifier, check_claims, key_id, signed_claims
from anew.errors import InvalidToken, TokenNotPermitted
from tests.adapters.azure.entra.made_tokens import (
    CLIENT_ID,
    EVENT_GRID,
    NOW,
    ROLE,
    TENANT,
    TRUSTED,
    claims,
    key,
    segment,
    signed_raw,
    token,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OTHER = "99999999-aaaa-4bbb-8ccc-999999999999"


class Entra:
    """The key endpoint, counting."""

    def __init__(self) -> None:
        self.fetches = 0

    async def fetch(self) -> Keys:
        self.fetches += 1
        return {"one": key().public}


def verify(text: str) -> int:
    """How often keys were fetched for a token that passes; raises for one that does not."""
    entra = Entra()
    asyncio.run(EntraVerifier(TRUSTED, SigningKeys(entra.fetch), lambda: NOW).verify(text))
    return entra.fetches


@pytest.mark.parametrize("version", [1, 2])
def test_event_grid_token_is_accepted(version: int) -> None:
    """A token of Event Grid is accepted in both token versions."""
    assert verify(token(claims(version))) == 1


@pytest.mark.parametrize("audience", ["api://anew", CLIENT_ID])
def test_each_configured_audience_is_accepted(audience: str) -> None:
    """A token for any of the configured audiences is accepted."""
    check_claims(claims(1, aud=audience), TRUSTED, NOW)


def test_guids_compare_case_insensitively() -> None:
    """Tenant and application ids compare without regard to case."""
    check_claims(claims(1, tid=TENANT.upper(), appid=EVENT_GRID.upper()), TRUSTED, NOW)


# --- claims -----------------------------------------------------------------------------------------------

WRONG: list[tuple[str, Any]] = [
    ("iss", f"https://sts.windows.net/{OTHER}/"),
    ("iss", f"https://login.microsoftonline.com/{OTHER}/v2.0"),
    ("iss", f"https://sts.windows.net.example/{TENANT}/"),
    ("iss", [f"https://sts.windows.net/{TENANT}/"]),
    ("tid", OTHER),
    ("aud", "https://management.azure.com"),
    ("aud", ["api://anew"]),
    ("aud", "api://anew/"),
    ("exp", int(NOW.timestamp()) - 60),
    ("exp", str(int(NOW.timestamp()) + 3600)),
    ("exp", float("nan")),
    ("exp", float("inf")),
    ("exp", True),
    ("nbf", int(NOW.timestamp()) + 61),
    ("nbf", float("-inf")),
    ("nbf", "now"),
    ("nbf", True),
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("claim", "value"), [*WRONG, ("iss", None), ("tid", None), ("aud", None), ("exp", None)])
def test_one_bad_claim_refuses_the_token(version: int, claim: str, value: Any) -> None:
    """One wrong or missing claim is enough to refuse the token."""
    with pytest.raises(InvalidToken) as refused:
        verify(token(claims(version, **{claim: value})))
    assert not isinstance(refused.value, TokenNotPermitted)


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        (1, {"appid": OTHER}),
        (1, {"appid": None}),
        (1, {"appid": None, "azp": EVENT_GRID}),
        (2, {"azp": OTHER}),
        (2, {"azp": None}),
        (2, {"azp": None, "appid": EVENT_GRID}),
        (1, {"roles": None}),
        (1, {"roles": []}),
        (1, {"roles": ROLE}),
        (2, {"roles": ["Other.Role", ROLE.lower()]}),
    ],
)
def test_other_caller_is_not_permitted(version: int, changes: dict[str, Any]) -> None:
    """A genuine token of another application or without the role is not permitted."""
    with pytest.raises(TokenNotPermitted):
        verify(token(claims(version, **changes)))


@given(st.sampled_from(["iss", "tid", "aud", "appid", "roles"]), JSON)
@example("roles", {ROLE: 1})
@example("aud", {"api://anew": 1})
def test_other_identity_is_refused(claim: str, value: Any) -> None:
    """Any other value of an identifying claim refuses the token."""
    with pytest.raises(InvalidToken):
        check_claims({**claims(), claim: value}, TRUSTED, NOW)


@given(st.sampled_from(["exp", "nbf"]), JSON)
@example("exp", 10**400)
@example("nbf", -(10**400))
def test_odd_times_are_only_refused(claim: str, value: Any) -> None:
    """An odd expiry or start time leads to a refusal at most, never to another error."""
    try:
        check_claims({**claims(), claim: value}, TRUSTED, NOW)
    except InvalidToken:
        return
    assert type(value) in (int, float)


def test_clock_skew_is_one_minute() -> None:
    """Expiry and start time allow a clock skew of one minute and no more."""
    expires, begins = claims()["exp"], claims()["nbf"]
    minute = timedelta(seconds=60)
    check_claims(claims(exp=expires), TRUSTED, NOW + timedelta(seconds=3600) + minute - timedelta(microseconds=1))
    check_claims(claims(nbf=begins), TRUSTED, NOW - minute)
    with pytest.raises(InvalidToken, match="expired"):
        check_claims(claims(), TRUSTED, NOW + timedelta(seconds=3600) + minute)
    with pytest.raises(InvalidToken, match="not valid yet"):
        check_claims(claims(), TRUSTED, NOW - minute - timedelta(microseconds=1))


# --- signatures -------------------------------------------------------------------------------------------


def _hs256(secret: bytes) -> str:
    signed = f"{segment({'alg': 'HS256', 'kid': 'one'})}.{segment(claims())}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _public(encoding: serialization.Encoding) -> bytes:
    return key().private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


FORGED = {
    "signed by another key of that id": token(signer=key("two"), kid="one"),
    "without a signature": f"{segment({'alg': 'none', 'kid': 'one'})}.{segment(claims())}.{segment(b'x')}",
    "alg None in capitals": f"{segment({'alg': 'None', 'kid': 'one'})}.{segment(claims())}.{segment(b'x')}",
    "empty signature": token().rpartition(".")[0] + ".",
    "HS256 with the public key as PEM": _hs256(_public(serialization.Encoding.PEM)),
    "HS256 with the public key as DER": _hs256(_public(serialization.Encoding.DER)),
    "HS256 with the key set": _hs256(json.dumps(key().jwk).encode()),
    "RS512": jwt.encode(claims(), key().private, "RS512", {"kid": "one"}),
    "PS256": jwt.encode(claims(), key().private, "PS256", {"kid": "one"}),
    "unknown key": token(signer=key("two")),
    "unknown key that the token brings": token(signer=key("two"), jwk=key("two").jwk),
    "unknown key that the token says where to fetch": token(signer=key("two"), jku="https://example.com/keys"),
    "no key named": jwt.encode(claims(), key().private, "RS256"),
    "unknown critical header": token(crit=["b64"], b64=True),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_forged_token_is_refused(forged: str) -> None:
    """A token with a forged signature, algorithm or key is refused."""
    with pytest.raises(InvalidToken):
        verify(forged)


@given(st.integers(min_value=0), st.integers(1, 255), st.sampled_from([1, 2]))
def test_one_changed_byte_is_refused(at: int, change: int, part: int) -> None:
    """One changed byte in the claims or the signature refuses the token."""
    segments = token().split(".")
    raw = bytearray(base64.urlsafe_b64decode(segments[part] + "=="))
    raw[at % len(raw)] ^= change
    segments[part] = segment(bytes(raw))
    with pytest.raises(InvalidToken):
        signed_claims(".".join(segments), key().public)


# --- what is cheap to refuse ------------------------------------------------------------------------------

ABSURD = {
    "empty": "",
    "a word": "secret",
    "two parts": "e30.e30",
    "encrypted": "e30.e30.e30.e30.e30",
    "huge": signed_raw(b"x" * MAX_TOKEN),
    "unsigned": segment({"alg": "none", "kid": "one"}) + ".e30.e30",
    "signed with a secret": segment({"alg": "HS256", "kid": "one"}) + ".e30.e30",
    "nested header": segment(b'{"alg":"RS256","kid":' + b"[" * 2500 + b"]" * 2500 + b"}") + ".e30.e30",
    "header is a list": "W10.e30.e30",
    "header is no JSON": "AAAA.e30.e30",
    "key id is a number": segment({"alg": "RS256", "kid": 1}) + ".e30.e30",
    "a line break": "e30.e30.e30\n",
    "other letters": "é.é.é",
}


@pytest.mark.parametrize("absurd", ABSURD.values(), ids=ABSURD)
def test_malformed_token_fetches_no_keys(absurd: str) -> None:
    """A malformed token is refused before any keys are fetched."""
    entra = Entra()
    with pytest.raises(InvalidToken):
        asyncio.run(EntraVerifier(TRUSTED, SigningKeys(entra.fetch), lambda: NOW).verify(absurd))
    assert entra.fetches == 0


@given(st.text() | st.lists(st.text(), min_size=3, max_size=3).map(".".join))
def test_arbitrary_text_is_an_invalid_token(text: str) -> None:
    """Arbitrary text raises `InvalidToken` and no other error."""
    with pytest.raises(InvalidToken):
        key_id(text)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 2000, b'{"exp":' + b"[" * 1500 + b"]" * 1500 + b"}"]
)
def test_signed_nonsense_is_refused(payload: bytes) -> None:
    """A correctly signed payload that holds no valid claims is refused."""
    with pytest.raises(InvalidToken):
        verify(signed_raw(payload))


@pytest.mark.parametrize("refused", [*FORGED.values(), *(token(claims(1, **{name: value})) for name, value in WRONG)])
def test_error_hides_the_token(refused: str) -> None:
    """The error and its advice show no part of the refused token."""
    with pytest.raises(InvalidToken) as error:
        verify(refused)
    shown = f"{error.value!r} {error.value.advice}"
    assert not [part for part in refused.split(".") if len(part) > 8 and part in shown]
