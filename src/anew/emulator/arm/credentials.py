"""The credential, the permission for plain HTTP and the cloud with which real Azure SDKs use local Azure."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import jwt
from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
TOKEN_SECONDS: Final = 3600
LOCAL_SUBJECT: Final = "local-azure"


def _token(scopes: tuple[str, ...], subject: str = LOCAL_SUBJECT) -> AccessToken:
    audience = scopes[0].removesuffix("/.default") if scopes else ""
    expires = int(time.time()) + TOKEN_SECONDS
    return AccessToken(jwt.encode({"aud": audience, "exp": expires, "sub": subject}, "", "none"), expires)


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
    """Allows to send a bearer token over plain HTTP to a loopback host, and to no other."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Lift azure-core's HTTPS rule for this request when it stays on this machine."""
        if is_loopback(request.http_request.url):
            request.context.options.setdefault("enforce_https", False)


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


@dataclass(frozen=True)
class Connection:
    """The settings with which real SDK clients use one local Azure."""

    base_url: str
    credential: EmulatorCredential
    async_credential: AsyncEmulatorCredential

    @property
    def cloud(self) -> str:
        """The MLClient ``cloud``: one name per port, because the SDK keeps clouds by name for the whole process."""
        return f"Local{urlsplit(self.base_url).port}"

    @property
    def cloud_metadata(self) -> dict[str, str]:
        """The MLClient ``cloud_metadata`` that sends its requests to base_url."""
        return {
            "azure_portal": "https://portal.local/",
            "resource_manager": f"{self.base_url}/",
            "active_directory": f"{self.base_url}/login/",
            "aml_resource_id": "https://ml.azure.com/",
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": f"{self.base_url}/",
        }

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
