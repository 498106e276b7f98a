"""Settings: one TOML file, and environment variables over it, read once.

The file is `anew.toml` in the working directory, or what ANEW_SETTINGS names. A variable is ANEW_ and the path
with double underscores: ANEW_AZURE__WORKSPACE, ANEW_WEBHOOK__SECRETS='["..."]'.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from anew.core.events.event import Workspace
from anew.errors import InvalidSettings

SETTINGS_VARIABLE = "ANEW_SETTINGS"
EVENT_GRID_APPLICATION_ID = "4962773b-9cdb-44cf-a8bf-237846a00ab7"  # in the public cloud

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Port = Annotated[int, Field(ge=0, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _https(value: str) -> str:
    parts = urlsplit(value)
    # On one machine nobody is in between.
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("not an https address")
    return value.rstrip("/")


class Azure(_Section):
    """Where the workspace is. `local_azure_url` points everything at local Azure instead, and is for nothing else."""

    subscription_id: str = ""
    resource_group: str = ""
    workspace: str = ""
    data_factory: str | None = None
    log_analytics_workspace_id: str | None = None
    cloud: str = "AzureCloud"
    local_azure_url: str | None = None


class Entra(_Section):
    """Whose Microsoft Entra tokens let a request in. Without `tenant_id` none are asked for.

    `audiences` is the webhook's app registration: its client id, its application id URI, or both.
    """

    tenant_id: str = ""
    audiences: tuple[str, ...] = ()
    event_grid_application_id: str = EVENT_GRID_APPLICATION_ID
    role: str = "AzureEventGridSecureWebhookSubscriber"
    authority: str = "https://login.microsoftonline.com"

    @field_validator("tenant_id", "event_grid_application_id")
    @classmethod
    def _guid(cls, value: str) -> str:
        return str(UUID(value)) if value else ""

    @field_validator("authority")
    @classmethod
    def _safe(cls, value: str) -> str:
        # Whoever can change the keys on their way can sign tokens.
        return _https(value)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.tenant_id and not (all(self.audiences) and self.audiences and self.event_grid_application_id):
            raise ValueError("with tenant_id, audiences and event_grid_application_id are needed")
        if self.audiences and not self.tenant_id:
            raise ValueError("with audiences, tenant_id is needed")
        if self.tenant_id and not self.role:
            raise ValueError("role is empty")
        return self


class Webhook(_Section):
    """The webhook service.

    `secrets`: any one of them is accepted, so that two can be valid during a rotation. `require`: whether a request
    must satisfy every kind of credentials that is configured, secrets and Entra, or any one kind.
    """

    host: str = "127.0.0.1"
    port: Port = 8710
    secrets: tuple[SecretStr, ...] = ()
    entra: Entra = Entra()
    require: Literal["all", "any"] = "all"
    subscriptions: tuple[str, ...] = Field(default=(), description="Event Grid subscription names allowed; empty: any.")
    max_body: PositiveInt = Field(default=16_000_000, description="Bytes in one request.")
    requests_per_second: PositiveFloat = Field(default=5000, description="Twice as many may come at once.")
    operator_host: str = "127.0.0.1"
    operator_port: Port | None = Field(default=None, description="By default the one after `port`.")


class Prefect(_Section):
    """The Prefect server."""

    api_url: str = Field(default_factory=lambda: os.environ.get("PREFECT_API_URL", "http://127.0.0.1:4200/api"))
    auth: SecretStr | None = None


class Notify(_Section):
    """Who is told of decisions: Apprise addresses, each with its token."""

    urls: tuple[SecretStr, ...] = ()


class ApprovalSettings(_Section):
    """Links by which people approve a model, sent with what `notify.urls` are told.

    `public_url` is the webhook's address as people reach it. `link_secrets`: the first signs, any one is accepted.
    """

    public_url: str = ""
    link_secrets: tuple[SecretStr, ...] = ()

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        return _https(value) if value else ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.public_url) != bool(self.link_secrets):
            raise ValueError("public_url and link_secrets go together")
        return self


class TimingSettings(_Section):
    """How long things may take before another worker may take over; as `PT2M` or in seconds."""

    inbox_lease: timedelta = timedelta(minutes=5)
    rollout_lease: timedelta = timedelta(minutes=5)
    visibility_delay: timedelta = timedelta(minutes=2)
    confirm_within: timedelta = timedelta(minutes=15)


class Settings(BaseSettings):
    """Everything anew reads from outside."""

    model_config = SettingsConfigDict(
        env_prefix="ANEW_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    azure: Azure = Azure()
    webhook: Webhook = Webhook()
    prefect: Prefect = Prefect()
    notify: Notify = Notify()
    approval: ApprovalSettings = ApprovalSettings()
    timing: TimingSettings = TimingSettings()
    ledger: str = Field(default="sqlite:///.anew/ledger.db", description="SQLAlchemy URL.")
    policies: Path = Path("policies")

    @property
    def workspace(self) -> Workspace:
        """The workspace we act for. Raises InvalidSettings when it is not named."""
        azure = self.azure
        unset = [name for name in ("subscription_id", "resource_group", "workspace") if not getattr(azure, name)]
        if unset:
            raise InvalidSettings(f"settings: azure.{', azure.'.join(unset)} not set")
        return Workspace(azure.subscription_id, azure.resource_group, azure.workspace)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file())


def settings_file() -> Path:
    """The file that is read, whether or not it exists."""
    return Path(os.environ.get(SETTINGS_VARIABLE, "anew.toml"))


def load_settings() -> Settings:
    """Read file and environment. Raises InvalidSettings naming each wrong key, never its value."""
    named = os.environ.get(SETTINGS_VARIABLE)
    if named and not Path(named).is_file():
        raise InvalidSettings(f"{SETTINGS_VARIABLE} names {named}, which is not a file")
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InvalidSettings(f"settings ({settings_file()}): {wrong}") from None
    except ValueError as error:
        raise InvalidSettings(f"settings ({settings_file()}): {error}") from None
