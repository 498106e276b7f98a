"""What the real Azure SDKs need to talk to local Azure: a credential, leave for plain HTTP, and a cloud of its own."""

import base64
import json
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
TOKEN_SECONDS: Final = 3600
LOCAL_SUBJECT: Final = "local-azure"


def _segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _token(scopes: tuple[str, ...], subject: str = LOCAL_SUBJECT) -> AccessToken:
    audience = scopes[0].removesuffix("/.default") if scopes else ""
    expires = int(time.time()) + TOKEN_SECONDS
    claims = {"aud": audience, "exp": expires, "sub": subject}
    # PyJWT decodes the signature even when told not to verify it, so the segment must be valid base64.
    return AccessToken(f"{_segment({'alg': 'none', 'typ': 'JWT'})}.{_segment(claims)}.c2ln", expires)


class EmulatorCredential:
    """A credential whose tokens only local Azure accepts: unsigned, with the audience the SDK asks for."""

    def __init__(self, subject: str = LOCAL_SUBJECT) -> None:
        self._subject = subject

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        """An unsigned JWT for the first scope, valid for an hour."""
        return _token(scopes, self._subject)


class AsyncEmulatorCredential:
    """EmulatorCredential for the SDKs' aio clients."""

    async def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        """An unsigned JWT for the first scope, valid for an hour."""
        return _token(scopes)

    async def close(self) -> None:
        """Nothing to close; the aio clients ask for it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


class AllowHttp(SansIOHTTPPolicy[Any, Any]):
    """Lets a bearer token travel over plain HTTP to a loopback host, and to no other."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Lift azure-core's HTTPS rule for this request when it stays on this machine."""
        if is_loopback(request.http_request.url):
            request.context.options.setdefault("enforce_https", False)


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def cloud_name(base_url: str) -> str:
    """The MLClient ``cloud`` of a local Azure: one per port, because the SDK keeps clouds by name for the process."""
    return f"Local{urlsplit(base_url).port}"


def cloud_metadata(base_url: str) -> dict[str, str]:
    """The MLClient ``cloud_metadata`` that sends its requests to base_url."""
    root = base_url.rstrip("/")
    return {
        "azure_portal": "https://portal.local/",
        "resource_manager": f"{root}/",
        "active_directory": f"{root}/login/",
        "aml_resource_id": "https://ml.azure.com/",
        "storage_endpoint": "core.windows.net",
        "registry_discovery_endpoint": f"{root}/",
    }


@dataclass(frozen=True)
class Connection:
    """How the real SDK clients are pointed at one local Azure."""

    base_url: str
    credential: EmulatorCredential
    async_credential: AsyncEmulatorCredential

    @property
    def cloud(self) -> str:
        """The cloud name for MLClient."""
        return cloud_name(self.base_url)

    @property
    def cloud_metadata(self) -> dict[str, str]:
        """The cloud metadata for MLClient."""
        return cloud_metadata(self.base_url)

    def policies(self) -> list[AllowHttp]:
        """A fresh ``per_call_policies`` list: MLClient appends to the list it is given, so none may be shared."""
        return [AllowHttp()]


def connection(base_url: str) -> Connection:
    """The connection to the local Azure at base_url.

    Raises:
        ValueError: base_url is not on this machine.
    """
    if not is_loopback(base_url):
        raise ValueError(f"local Azure must be on this machine, not at {base_url}")
    return Connection(base_url.rstrip("/"), EmulatorCredential(), AsyncEmulatorCredential())
