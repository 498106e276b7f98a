"""The HTTP calls of a WebActivity: to this machine only, where Azure's public ARM address means local Azure."""

from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx

from anew.emulator.arm.credentials import EmulatorCredential, is_loopback
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.data_factory.functions import to_text

_PUBLIC_ARM: Final = "https://management.azure.com"
_TIMEOUT_SECONDS: Final = 60.0
# After a restart a resumed run may call before local Azure listens again.
_CONNECT_RETRIES: Final = 4
_WEB_ERROR: Final = "2108"
ACTIVITY_RUN_HEADER: Final = "x-local-azure-activity-run"


class ActivityError(Exception):
    """Why an activity failed: Data Factory's error code, message and failure type (UserError or SystemError)."""

    def __init__(self, code: str, message: str, kind: str = "UserError") -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind

    def document(self, target: str) -> Document:
        """The error as an activity run shows it."""
        found = {"errorCode": self.code, "message": f"{self}", "failureType": self.kind}
        return {**found, "target": target, "details": ""}


class WebCaller:
    """Makes the calls of WebActivities; one per cloud, got with ``cloud.service(WebCaller)``."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._credential = EmulatorCredential("local-data-factory")
        # One client for all calls, because a new one costs more than a call; a new connection for each call, because a
        # request must not be sent twice, and would fail on an idle connection that the server has closed.
        limits = httpx.Limits(max_keepalive_connections=0)
        transport = httpx.HTTPTransport(retries=_CONNECT_RETRIES, limits=limits)
        self._http = httpx.Client(transport=transport, timeout=_TIMEOUT_SECONDS, trust_env=False)

    def call(self, properties: Document, activity_run: str) -> Document:
        """Make a WebActivity's call; its output is the JSON object answered, or ``{"Response": text}``.

        The id of the activity's run is sent along, so that local Azure recognizes a call that it has answered before.

        Raises ActivityError when the address is not on this machine or the answer is not a success.
        """
        url, method = local_url(self._cloud, properties["url"]), str(properties.get("method", "GET")).upper()
        headers = {**self._headers(properties), ACTIVITY_RUN_HEADER: activity_run}
        body: Any = properties.get("body")
        content: dict[str, Any] = {"content": body.encode()} if isinstance(body, str) else {"json": body}
        try:
            response = self._http.request(method, url, headers=headers, **content)
        except httpx.HTTPError as error:
            raise ActivityError(_WEB_ERROR, f"Error calling the endpoint '{url}': {error}.") from error
        return _output(url, response)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _headers(self, properties: Document) -> dict[str, str]:
        headers = {name: to_text(value) for name, value in section(properties, "headers").items()}
        authentication = section(properties, "authentication")
        if authentication.get("type") in ("MSI", "SystemAssignedManagedIdentity"):
            scope = f"{to_text(authentication.get('resource', _PUBLIC_ARM)).rstrip('/')}/.default"
            headers["Authorization"] = f"Bearer {self._credential.get_token(scope).token}"
        return headers


def local_url(cloud: Cloud, url: str) -> str:
    """The address on this machine of a pipeline's URL; raises ActivityError when there is none."""
    if url == _PUBLIC_ARM or url.startswith(f"{_PUBLIC_ARM}/"):
        return cloud.base_url + url.removeprefix(_PUBLIC_ARM)
    if is_loopback(url) or urlsplit(url).netloc == urlsplit(cloud.base_url).netloc:
        return url
    raise ActivityError(_WEB_ERROR, f"Local Azure calls only addresses on this machine, not '{url}'.")


def _output(url: str, response: httpx.Response) -> Document:
    if not response.is_success:
        message = f"Error calling the endpoint '{url}'. Response status code: '{response.status_code}"
        raise ActivityError(_WEB_ERROR, f"{message} - {response.reason_phrase}'. More details: {response.text}")
    answer: Any
    try:
        answer = response.json() if response.content else {}
    except ValueError:
        answer = response.text
    output = cast(Document, answer) if isinstance(answer, dict) else {"Response": answer}
    return {**output, "ADFWebActivityResponseHeaders": dict(response.headers)}
