"""Microsoft Entra as Event Grid uses it: tokens for a protected webhook, signed with keys that are published.

Keys and claims follow "Access token claims reference" and "Signing key rollover" of the Microsoft identity platform.
The control routes mint a token with any claims, replace the signing key, and withdraw a key.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, ArmError, arm_route, not_found
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document

KEYS: Final = "entra_key"
EVENT_GRID_APPLICATION: Final = "4962773b-9cdb-44cf-a8bf-237846a00ab7"
SUBSCRIBER_ROLE: Final = "AzureEventGridSecureWebhookSubscriber"
TOKEN_SECONDS: Final = 3600


def routes(cloud: Cloud) -> list[Route]:
    """The key set of every tenant, and the control routes."""
    return [
        arm_route("/{tenant}/discovery/v2.0/keys", "GET", lambda call: _key_set(cloud, call)),
        arm_route("/emulator/entra/keys", "POST", lambda _: JSONResponse({"kid": rotate(cloud)}, 201)),
        arm_route("/emulator/entra/keys/{kid}", "DELETE", lambda call: _withdraw(cloud, call)),
        arm_route("/emulator/entra/tokens", "POST", lambda call: _mint(cloud, call)),
    ]


def authorization(cloud: Cloud, destination: Document) -> dict[str, str]:
    """The header with which Event Grid proves itself to a webhook destination; empty for one that is not protected."""
    tenant = destination.get("azureActiveDirectoryTenantId")
    audience = destination.get("azureActiveDirectoryApplicationIdOrUri")
    if not tenant or not audience:
        return {}
    version = int(cloud.mode("entra_token_version", 1))
    return {"Authorization": f"Bearer {sign(cloud, claims(cloud, tenant, audience, version))}"}


def claims(cloud: Cloud, tenant: str, audience: str, version: int) -> Document:
    """The claims of a token for Event Grid, issued now. The two versions name issuer and caller differently."""
    now = int(time.time())
    common: Document = {
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_SECONDS,
        "roles": [SUBSCRIBER_ROLE],
        "tid": tenant,
        "uti": uuid.uuid4().hex,
        "ver": f"{version}.0",
    }
    if version == 1:
        return common | {"iss": f"https://sts.windows.net/{tenant}/", "appid": EVENT_GRID_APPLICATION, "appidacr": "2"}
    return common | {"iss": f"{cloud.base_url}/{tenant}/v2.0", "azp": EVENT_GRID_APPLICATION, "azpacr": "2"}


def sign(cloud: Cloud, content: Mapping[str, Any]) -> str:
    """A token with these claims, signed with the newest key."""
    with cloud.store.transaction():
        if not _published(cloud):
            rotate(cloud)
        newest = _published(cloud)[-1]
    return jwt.encode(dict(content), newest["private"], "RS256", headers={"kid": newest["kid"]})


def rotate(cloud: Cloud) -> str:
    """Sign with a new key from now on, and return its id; the keys before it stay published."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    kid = uuid.uuid4().hex
    # No "alg": Entra's own key sets have none.
    public: Document = {
        name: value
        for name, value in RSAAlgorithm.to_jwk(private.public_key(), as_dict=True).items()
        if name in ("kty", "n", "e")
    }
    cloud.store.put(KEYS, kid, {"kid": kid, "private": pem.decode(), "public": public | {"kid": kid, "use": "sig"}})
    cloud.journal("entra.key_added", name=kid)
    return kid


def _published(cloud: Cloud) -> list[Document]:
    return cloud.store.list(KEYS)


def _key_set(cloud: Cloud, call: ArmCall) -> Response:
    cloud.journal("entra.keys_read", name=call.param("tenant"))
    if cloud.mode("entra_down", 0):
        return Response(status_code=503)
    return JSONResponse({"keys": [key["public"] for key in _published(cloud)]})


def _withdraw(cloud: Cloud, call: ArmCall) -> Response:
    if not cloud.store.delete(KEYS, call.param("kid")):
        raise not_found(call.resource_id)
    return Response(status_code=204)


def _mint(cloud: Cloud, call: ArmCall) -> Response:
    tenant, audience, version = call.body.get("tenant"), call.body.get("audience"), call.body.get("version", 1)
    if not isinstance(tenant, str) or not isinstance(audience, str) or version not in (1, 2):
        raise ArmError(400, "InvalidRequest", "A token needs a tenant and an audience, and has the version 1 or 2.")
    changes = cast(Document, call.body.get("claims") or {})
    content = claims(cloud, tenant, audience, version) | changes
    token = sign(cloud, {name: value for name, value in content.items() if value is not None})
    return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})
