"""Links that let their holder approve or reject one candidate: a JWT (RFC 7519) signed with HMAC SHA-256, with the
retraining's id as `sub`.

A link is a capability: its holder needs no other credential. So it is good for one retraining, until its deadline.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from jwt.utils import base64url_decode, base64url_encode

from anew.errors import ExpiredLink, InvalidLink, InvalidSettings

AUDIENCE = "anew.approval"
PATH = "/approvals"
MIN_SECRET = 32  # bytes: a key for HS256 is at least as long as its output (RFC 7518, section 3.2)

_ALGORITHM = "HS256"
_MAX_TOKEN = 1024  # characters; real ones have about 250
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SIGNATURE_ALONE: Any = {
    "verify_signature": True,
    **dict.fromkeys(
        ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False
    ),
}


@dataclass(frozen=True, slots=True)
class Permit:
    """The content of a genuine link: the retraining it decides on, its deadline, and the id of the link."""

    retraining_id: str
    until: datetime
    link_id: str


@dataclass(frozen=True, slots=True)
class ApprovalLinks:
    """Makes links below *public_url*, and checks them.

    The first secret signs, and a link signed with any of them is good: to change the secret, put a new one first and
    keep the old one until its last link has expired. Raises InvalidSettings for a secret that could be guessed.
    """

    public_url: str
    secrets: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secrets or any(len(secret.strip().encode()) < MIN_SECRET for secret in self.secrets):
            raise InvalidSettings(f"settings: approval.link_secrets: each must have at least {MIN_SECRET} bytes")

    def link(self, permit: Permit) -> str:
        """The address to send to a person. A fraction of a second in `until` is lost."""
        claims = {
            "aud": AUDIENCE,
            "sub": permit.retraining_id,
            "exp": int(permit.until.timestamp()),
            "jti": permit.link_id,
        }
        token = jwt.encode(claims, self.secrets[0], algorithm=_ALGORITHM)
        return f"{self.public_url.rstrip('/')}{PATH}/{token}"

    def check(self, token: str, now: datetime) -> Permit:
        """The permit in the token of a link. Raises ExpiredLink for a genuine one after its time, else InvalidLink."""
        permit = _permit(self._claims(token))
        if now >= permit.until:
            raise ExpiredLink("the link has expired")
        return permit

    def _claims(self, token: str) -> Mapping[str, Any]:
        # Checked before anything is decoded, so that a long token costs little.
        if len(token) > _MAX_TOKEN or not _COMPACT.fullmatch(token) or not _is_canonical(token):
            raise InvalidLink("this is not an approval link")
        for secret in self.secrets:
            try:
                return jwt.decode(token, secret, algorithms=[_ALGORITHM], options=_SIGNATURE_ALONE)
            except (jwt.PyJWTError, ValueError, RecursionError):
                continue
        raise InvalidLink("the link is not signed with one of the link secrets")


def _is_canonical(token: str) -> bool:
    # The last character of a signature has unused bits: without this check, four tokens would count as one.
    signature = token.rpartition(".")[2]
    try:
        return base64url_encode(base64url_decode(signature)).decode() == signature
    except ValueError:
        return False


def _permit(claims: Mapping[str, Any]) -> Permit:
    about, until, link_id = claims.get("sub"), claims.get("exp"), claims.get("jti")
    # The secret may also sign tokens for other purposes; the audience tells them apart.
    if claims.get("aud") != AUDIENCE or not isinstance(about, str) or not isinstance(link_id, str):
        raise InvalidLink("the link was made for another purpose")
    if not isinstance(until, int) or isinstance(until, bool):
        raise InvalidLink("the link has no expiry time")
    return Permit(about, datetime.fromtimestamp(until, UTC), link_id)
