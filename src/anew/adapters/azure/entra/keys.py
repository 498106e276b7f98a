"""The public keys with which Microsoft Entra signs tokens: fetched over HTTPS, cached, and fetched again in time.

Entra may replace a key at any time and without notice ("Signing key rollover in the Microsoft identity platform"), so a
token with an unknown key is not yet a forgery. It is one if Entra, asked after the token came, does not have the key.
Until then the result is SigningKeysUnavailable, because Event Grid never repeats a request refused with 401.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, cast

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from anew.errors import SigningKeysUnavailable

ALGORITHM = "RS256"  # the only one Entra signs access tokens with

LIFETIME = 3600.0  # seconds; the longest time a withdrawn key is trusted while Entra can be reached
LONGEST_OUTAGE = 24 * 3600.0  # seconds; the longest time cached keys are trusted while Entra cannot be reached
PAUSE = 60.0  # seconds between two fetches, however many tokens with unknown keys come
PAUSE_AFTER_FAILURE = 10.0  # seconds

_TIMEOUT = 5.0  # seconds for the whole response; Event Grid waits 30 for ours
_MOST_BYTES = 1024 * 1024
_MOST_KEYS = 100
_LEAST_BITS = 2048  # RFC 7518, section 3.3

Keys = Mapping[str, PyJWK]

logger = logging.getLogger("anew.entra")


class SigningKeys:
    """The keys by their id. *fetch* raises SigningKeysUnavailable; *monotonic* counts seconds.

    For use in one event loop. Tasks that need keys at the same time share one fetch.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Keys]], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._keys: Keys = {}
        self._fetched_at = float("-inf")
        self._fetches = 0  # begun
        self._brought_by = 0  # the number of the fetch that returned the keys
        self._next_fetch_at = float("-inf")

    async def find(self, key_id: str) -> PyJWK | None:
        """The key of this id, or None if Entra has none.

        Raises SigningKeysUnavailable if that cannot be known before `delay` has passed.
        """
        before = self._fetches
        if key_id not in self._keys or self._monotonic() - self._fetched_at >= LIFETIME:
            await self._refresh()
        now = self._monotonic()
        if now - self._fetched_at > LONGEST_OUTAGE:
            self._keys = {}
        found = self._keys.get(key_id)
        if found is None and self._brought_by <= before:
            wait = max(1.0, self._next_fetch_at - now)
            raise SigningKeysUnavailable(
                "the keys with which Entra signs tokens are not available at the moment", delay=timedelta(seconds=wait)
            )
        return found

    async def _refresh(self) -> None:
        async with self._lock:
            began_at = self._monotonic()
            if began_at < self._next_fetch_at:
                return
            self._fetches += 1
            try:
                self._keys = await self._fetch()
            except SigningKeysUnavailable as error:
                logger.warning("%s", error)
                self._next_fetch_at = self._monotonic() + PAUSE_AFTER_FAILURE
            else:
                self._fetched_at, self._brought_by = began_at, self._fetches
                self._next_fetch_at = self._monotonic() + PAUSE


async def fetch_keys(url: str) -> Keys:
    """The keys published at *url*. Raises SigningKeysUnavailable for no response, or one without usable keys."""
    try:
        async with asyncio.timeout(_TIMEOUT), httpx.AsyncClient() as http, http.stream("GET", url) as response:
            if response.status_code != 200:
                raise SigningKeysUnavailable(f"the signing keys at {url}: HTTP {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise SigningKeysUnavailable(f"the signing keys at {url}: more than {_MOST_BYTES} bytes")
    except (httpx.HTTPError, TimeoutError) as error:
        raise SigningKeysUnavailable(f"the signing keys at {url}: no answer: {type(error).__name__}") from error
    keys = parse_keys(bytes(body))
    if not keys:
        raise SigningKeysUnavailable(f"the signing keys at {url}: the response has no usable key")
    return keys


def parse_keys(body: bytes) -> Keys:
    """The keys of a JSON Web Key Set (RFC 7517) that can verify RS256 signatures."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    listed: Any = cast(dict[str, Any], document).get("keys") if isinstance(document, dict) else None
    candidates = cast(list[Any], listed)[:_MOST_KEYS] if isinstance(listed, list) else []
    keys = (_usable(cast(dict[str, Any], each)) for each in candidates if isinstance(each, dict))
    return {key.key_id: key for key in keys if key is not None and key.key_id is not None}


def _usable(jwk: dict[str, Any]) -> PyJWK | None:
    if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or not isinstance(jwk.get("kid"), str):
        return None
    try:
        key = PyJWK(jwk, ALGORITHM)
    except (PyJWTError, ValueError, TypeError):
        return None
    public = key.key
    return key if isinstance(public, RSAPublicKey) and public.key_size >= _LEAST_BITS else None
