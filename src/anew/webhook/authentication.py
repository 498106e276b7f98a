"""Who may send events: a sender with a secret, with a token of Event Grid, or with both.

After a 400, 401 or 403 Event Grid drops an event for good ("Event Grid message delivery and retry"). So 401 and 403 are
only for credentials that are certainly wrong; in all other cases it gets 429 or 503, and tries again.
"""

import hashlib
import hmac
import math
import secrets as random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import unquote

from anew.errors import InvalidSettings, InvalidToken, SigningKeysUnavailable, TokenNotPermitted
from anew.webhook.config import MIN_SECRET
from anew.webhook.failed_attempts import FailedAttempts, FailureLimit, bucket_of

OWN_HEADER = "x-anew-secret"
QUERY_PARAMETER = "code"

Require = Literal["all", "any"]

_MOST_OFFERS = 4  # secrets checked in one request
_MOST_PROVEN = 1000


class BearerVerifier(Protocol):
    """Checks bearer tokens."""

    async def verify(self, token: str) -> None:
        """Raises InvalidToken or TokenNotPermitted, and SigningKeysUnavailable when it cannot be checked now."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answer with this HTTP status. The reason has no secrets in it; *retry_after* is in seconds."""

    status: int
    reason: str
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that HTTP requires with it (RFC 9110, sections 10.2.3 and 11.6.1)."""
        if self.status == 401:
            return {"WWW-Authenticate": 'Bearer realm="anew"'}
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


_WRONG_SECRET = Refusal(401, "the secret is missing or wrong")
_NO_TOKEN = Refusal(401, "the bearer token is missing")


class Authenticator:
    """Checks the credentials of each request, and slows down addresses whose attempts fail.

    There are two kinds of credentials: *secrets*, any one of which is enough, so that one can be replaced without a
    gap, and tokens that *bearer* verifies. With *require* "all" a request must satisfy each kind that is configured,
    with "any" one of them. For one event loop. *monotonic* counts seconds.

    Raises InvalidSettings for a secret that could be guessed, and when nothing is configured, unless *open_to_all*.
    """

    def __init__(
        self,
        secrets: Sequence[str] = (),
        bearer: BearerVerifier | None = None,
        *,
        require: Require = "all",
        open_to_all: bool = False,
        limit: FailureLimit | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not secrets and bearer is None and not open_to_all:
            raise InvalidSettings(
                "the webhook has neither a secret nor webhook.entra, so that anybody could send it events",
                advice="Set ANEW_WEBHOOK__SECRETS or webhook.entra, or bind to 127.0.0.1",
            )
        if any(len(secret.strip()) < MIN_SECRET for secret in secrets):
            raise InvalidSettings(f"a webhook secret is shorter than {MIN_SECRET} characters")
        self._digest_key = random.token_bytes(32)
        self._secrets = [self._digest(secret) for secret in secrets]
        self._bearer = bearer
        self._require = require
        self._failures = FailedAttempts(limit or FailureLimit())
        self._proven: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._monotonic = monotonic

    async def refuse(
        self, headers: Mapping[str, str], query: str, client: str | None, *, handshake: bool = False
    ) -> Refusal | None:
        """Why a request is refused; None when it is accepted.

        Names of *headers* are in lower case, *query* is undecoded, *client* is the address the request came from. A
        CloudEvents *handshake* (OPTIONS) needs no token: whether Event Grid sends one with it is not documented, and
        the answer reveals nothing.
        """
        if not self._secrets and self._bearer is None:
            return None
        offers = _offered_secrets(headers, query)
        token = _bearer_token(headers)
        attempt = bucket_of(client), self._digest(repr((offers, token)))
        refusal = self._too_many_failures(attempt) or await self._judge(offers, token, handshake=handshake)
        self._learn(attempt, refusal, proves=not handshake)
        return refusal

    def _too_many_failures(self, attempt: tuple[str, bytes]) -> Refusal | None:
        # Behind a proxy that hides addresses an attacker shares Event Grid's: credentials accepted before still are.
        if attempt in self._proven:
            return None
        wait = self._failures.wait(attempt[0], self._monotonic())
        return Refusal(429, "too many failed attempts from this address", math.ceil(wait)) if wait > 0 else None

    def _learn(self, attempt: tuple[str, bytes], refusal: Refusal | None, *, proves: bool) -> None:
        if refusal is None and proves:
            self._proven[attempt] = None
            self._proven.move_to_end(attempt)
            if len(self._proven) > _MOST_PROVEN:
                self._proven.popitem(last=False)
        elif refusal is not None and refusal.status in (401, 403):
            self._proven.pop(attempt, None)
            self._failures.count(attempt[0], self._monotonic())

    async def _judge(self, offers: Sequence[str], token: str | None, *, handshake: bool) -> Refusal | None:
        if self._secrets:
            wrong = None if self._knows_secret(offers) else _WRONG_SECRET
            # A right secret decides it if one kind is enough, a wrong one if all kinds are required.
            if self._bearer is None or (wrong is None) is (self._require == "any"):
                return wrong
        if token is None:
            return None if handshake else _NO_TOKEN
        return await self._judge_token(token)

    async def _judge_token(self, token: str) -> Refusal | None:
        assert self._bearer is not None
        try:
            await self._bearer.verify(token)
        except TokenNotPermitted as error:
            return Refusal(403, str(error))
        except InvalidToken as error:
            return Refusal(401, str(error))
        except SigningKeysUnavailable as error:
            return Refusal(503, str(error), math.ceil(error.delay.total_seconds()))
        return None

    def _knows_secret(self, offers: Sequence[str]) -> bool:
        # Every pair is compared, as digests of one length, so that the time it takes reveals nothing about the secrets.
        matches = [hmac.compare_digest(self._digest(offer), known) for offer in offers for known in self._secrets]
        return any(matches)

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._digest_key, digest_size=32).digest()


def _offered_secrets(headers: Mapping[str, str], query: str) -> list[str]:
    pairs = (part.partition("=") for part in query.split("&"))
    offered = [unquote(value) for name, _, value in pairs if name == QUERY_PARAMETER]
    if OWN_HEADER in headers:
        offered.append(headers[OWN_HEADER])
    return offered if len(offered) <= _MOST_OFFERS else []


def _bearer_token(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.casefold() == "bearer" else None
