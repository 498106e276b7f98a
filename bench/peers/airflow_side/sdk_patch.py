"""Becomes `azure/mgmt/datafactory/_patch.py` and its `aio` twin in Airflow's venv, where the SDK takes customisations.

The client goes to local Azure with a token of no worth. Airflow's operator, trigger and hook stay as they are shipped.
"""

import os
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy

from ._client import DataFactoryManagementClient as _Client

__all__ = ["DataFactoryManagementClient"]

_TOKEN = AccessToken("local", 4102444800)


class _Credential:
    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return _TOKEN


class _AsyncCredential:
    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return _TOKEN


class _AllowHttp(SansIOHTTPPolicy):
    def on_request(self, request: Any) -> None:
        request.context.options.setdefault("enforce_https", False)


class DataFactoryManagementClient(_Client):
    """The SDK's client; the credential given is left unused."""

    def __init__(self, credential: Any, subscription_id: str, **options: Any) -> None:
        local = _AsyncCredential() if ".aio." in __name__ else _Credential()
        url = os.environ["PEERS_AZURE_URL"]
        super().__init__(local, subscription_id, base_url=url, per_call_policies=[_AllowHttp()], **options)


def patch_sdk() -> None:
    """Asked for by the SDK."""
