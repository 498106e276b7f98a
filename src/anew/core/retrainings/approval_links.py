"""Links that let their holder approve or reject one candidate: a JWT (RFC 7519) signed with HMAC SHA-256, with the
retraining's id as `sub`.

A link is a capability: its holder needs no other credential. So it is good for one retraining, until its deadline.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

import jwt
from jwt.utils import base64url_decode, base64url_encode
from msgspec import DecodeError, Struct, json, to_builtins

from anew.errors import ExpiredLink, InvalidLink, InvalidSettings

AUDIENCE: Final = "anew.approval"
PATH = "/approvals"
MIN_SECRET = 32  # bytes: a key for HS256 is at least as long as its output (RFC 7518, section 3.2)

_ALGORITHM = "HS256"
_MAX_TOKEN = 1024  # characters; real ones have about 250
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class _Claims(Struct):
    # The secret may also sign tokens for other purposes; the audience tells them apart.
    aud: Literal["anew.approval"]
    sub: str
    exp: int
    jti: str


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
        claims = _Claims(AUDIENCE, permit.retraining_id, int(permit.until.timestamp()), permit.link_id)
        token = jwt.encode(to_builtins(claims), self.secrets[0], algorithm=_ALGORITHM)
        return f"{self.public_url.rstrip('/')}{PATH}/{token}"

    def check(self, token: str, now: datetime) -> Permit:
        """The permit in the token of a link. Raises ExpiredLink for a genuine one after its time, else InvalidLink."""
        try:
            claims = json.decode(self._payload(token), type=_Claims)
        except DecodeError:
            raise InvalidLink("the link was made for another purpose") from None
        permit = Permit(claims.sub, datetime.fromtimestamp(claims.exp, UTC), claims.jti)
        if now >= permit.until:
            raise ExpiredLink("the link has expired")
        return permit

    def _payload(self, token: str) -> bytes:
        # Checked before anything is decoded, so that a long token costs little.
        if len(token) > _MAX_TOKEN or not _COMPACT.fullmatch(token) or not _is_canonical(token):
            raise InvalidLink("this is not an approval link")
        for secret in self.secrets:
            with suppress(jwt.PyJWTError, ValueError, RecursionError):
                return jwt.PyJWS().decode(token, secret, algorithms=[_ALGORITHM])
        raise InvalidLink("the link is not signed with one of the link secrets")


def _is_canonical(token: str) -> bool:
    # The last character of a signature has unused bits: without this check, four tokens would count as one.
    signature = token.rpartition(".")[2]
    try:
        return base64url_encode(base64url_decode(signature)).decode() == signature
    except ValueError:
        return False
