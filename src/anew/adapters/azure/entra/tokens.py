"""Verifying the Microsoft Entra tokens that Event Grid sends with its deliveries.

The checks follow "Deliver events to Microsoft Entra protected endpoints" of Azure Event Grid and "Access token claims
reference" of the Microsoft identity platform. The webhook's app registration determines the version of the tokens, so
both versions are accepted.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

import jwt

from anew.adapters.azure.entra.keys import ALGORITHM, SigningKeys
from anew.core.events.fields import shown
from anew.errors import InvalidToken, TokenNotPermitted

MAX_TOKEN = 8192  # characters; a token for one application with one role has about 1,500
LEEWAY = 60.0  # seconds by which the clocks may differ

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SIGNATURE_ALONE: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True, slots=True)
class Trusted:
    """The permitted caller: the application with the role, and a token of this tenant for one of these audiences.

    *tenant_id* and *application_id* are GUIDs in lower case. *authority* is the address of the cloud's Entra.
    """

    tenant_id: str
    audiences: frozenset[str]
    application_id: str
    role: str
    authority: str

    @property
    def keys_url(self) -> str:
        """The address at which the tenant's signing keys are published."""
        return f"{self.authority}/{self.tenant_id}/discovery/v2.0/keys"

    def caller_claim(self, issuer: Any) -> str | None:
        """The claim that names the calling application in a token of this issuer; None for an untrusted issuer."""
        return {
            f"https://sts.windows.net/{self.tenant_id}/": "appid",
            f"{self.authority}/{self.tenant_id}/v2.0": "azp",
        }.get(issuer if isinstance(issuer, str) else "")


class EntraVerifier:
    """Verifies that a token permits its bearer to send events."""

    def __init__(self, trusted: Trusted, keys: SigningKeys, clock: Callable[[], datetime]) -> None:
        self._trusted = trusted
        self._keys = keys
        self._clock = clock

    async def verify(self, token: str) -> None:
        """Raises InvalidToken or TokenNotPermitted, and SigningKeysUnavailable if the key cannot be fetched."""
        key = await self._keys.find(key_id(token))
        if key is None:
            raise InvalidToken("the token's signing key is not one of Entra's")
        check_claims(signed_claims(token, key), self._trusted, self._clock())


def key_id(token: str) -> str:
    """The id of the signing key in the token's header. Raises InvalidToken if it cannot be a token of Entra."""
    # Checked before decoding, to limit the cost of a malicious token.
    if len(token) > MAX_TOKEN or not _COMPACT.fullmatch(token):
        raise InvalidToken("the bearer token is not a signed JWT")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidToken("the token's header cannot be read") from None
    if header.get("alg") != ALGORITHM:
        raise InvalidToken(f"the token is not signed with {ALGORITHM}")
    named = header.get("kid")
    if not isinstance(named, str):
        raise InvalidToken("the token does not name its signing key")
    return named


def signed_claims(token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
    """The claims of a token that this key signed, not checked yet. Raises InvalidToken for any other token."""
    try:
        return jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ALONE)
    except jwt.InvalidSignatureError:
        raise InvalidToken("the token's signature is wrong") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidToken("the token's claims cannot be read") from None


def check_claims(claims: Mapping[str, Any], trusted: Trusted, now: datetime) -> None:
    """Raises InvalidToken unless tenant, audience and time are right, and TokenNotPermitted for a wrong caller."""
    _check_time(claims, now.timestamp())
    caller_claim = trusted.caller_claim(claims.get("iss"))
    if caller_claim is None:
        raise InvalidToken(f"the token's issuer is not our tenant: {shown(claims.get('iss'))}")
    if _lower(claims.get("tid")) != trusted.tenant_id:
        raise InvalidToken("the token is of another tenant (tid)")
    audience = claims.get("aud")
    if not isinstance(audience, str) or audience not in trusted.audiences:
        raise InvalidToken(f"the token is for another audience (aud): {shown(audience)}")
    if _lower(claims.get(caller_claim)) != trusted.application_id:
        raise TokenNotPermitted(f"the token's caller ({caller_claim}) is not Event Grid")
    # The role alone is not enough: everybody who creates event subscriptions has it too.
    roles = claims.get("roles")
    if not isinstance(roles, list) or trusted.role not in roles:
        raise TokenNotPermitted(f"the token's caller does not have the role {trusted.role}")


def _check_time(claims: Mapping[str, Any], now: float) -> None:
    expires, begins = claims.get("exp"), claims.get("nbf", now)
    if not _is_time(expires) or not _is_time(begins):
        raise InvalidToken("the token does not say when it is valid")
    # The leeway is added to our own clock, so that there is no arithmetic on numbers from outside.
    if now - LEEWAY >= expires:
        raise InvalidToken("the token has expired")
    if now + LEEWAY < begins:
        raise InvalidToken("the token is not valid yet")


def _is_time(value: Any) -> TypeGuard[int | float]:
    # Python's JSON has NaN and Infinity, and a bool is an int: each would pass a comparison that it should fail.
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _lower(value: Any) -> str | None:
    return value.casefold() if isinstance(value, str) else None
