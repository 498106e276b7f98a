"""Keys and tokens of the tests' own, made without local Azure."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from jwt import PyJWK
from jwt.algorithms import RSAAlgorithm

from anew.adapters.azure.entra.tokens import Trusted

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
TENANT = "11111111-aaaa-4bbb-8ccc-222222222222"
EVENT_GRID = "4962773b-9cdb-44cf-a8bf-237846a00ab7"
CLIENT_ID = "33333333-aaaa-4bbb-8ccc-444444444444"
ROLE = "AzureEventGridSecureWebhookSubscriber"
AUTHORITY = "https://login.microsoftonline.com"
TRUSTED = Trusted(TENANT, frozenset({CLIENT_ID, "api://anew"}), EVENT_GRID, ROLE, AUTHORITY)


@dataclass(frozen=True)
class Key:
    """A key pair and its id."""

    kid: str
    private: rsa.RSAPrivateKey

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half as Entra publishes it."""
        public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "kid": self.kid, "n": public["n"], "e": public["e"]}

    @property
    def public(self) -> PyJWK:
        return PyJWK(self.jwk, "RS256")


@cache
def key(kid: str = "one", bits: int = 2048) -> Key:
    return Key(kid, rsa.generate_private_key(public_exponent=65537, key_size=bits))


def claims(version: int = 1, **changes: Any) -> dict[str, Any]:
    """Event Grid's claims; a change to None removes one."""
    now = int(NOW.timestamp())
    named = (
        {"iss": f"https://sts.windows.net/{TENANT}/", "appid": EVENT_GRID, "aud": "api://anew"}
        if version == 1
        else {"iss": f"{AUTHORITY}/{TENANT}/v2.0", "azp": EVENT_GRID, "aud": CLIENT_ID}
    )
    times = {"iat": now, "nbf": now, "exp": now + 3600}
    whole = named | times | {"tid": TENANT, "roles": [ROLE], "ver": f"{version}.0"} | changes
    return {name: value for name, value in whole.items() if value is not None}


def token(content: dict[str, Any] | None = None, signer: Key | None = None, **header: Any) -> str:
    signer = signer or key()
    payload = json.dumps(claims() if content is None else content).encode()
    return jwt.PyJWS().encode(payload, signer.private, "RS256", {"kid": signer.kid, **header})


def segment(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_raw(payload: bytes, signer: Key | None = None) -> str:
    """A rightly signed token of any bytes, JSON or not."""
    signer = signer or key()
    signed = f"{segment({'alg': 'RS256', 'kid': signer.kid})}.{segment(payload)}"
    return f"{signed}.{segment(signer.private.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"
