"""Settings: one TOML file, and environment variables over it, read once.

The file is `anew.toml` in the working directory, or what ANEW_SETTINGS names. A variable is ANEW_ and the path
with double underscores: ANEW_AZURE__WORKSPACE, ANEW_WEBHOOK__SECRETS='["..."]'.
"""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from anew.core.events import Workspace
from anew.errors import InvalidSettings

SETTINGS_VARIABLE = "ANEW_SETTINGS"
Port = Annotated[int, Field(ge=0, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Azure(_Section):
    """Where the workspace is. `local_azure_url` points everything at local Azure instead, and is for nothing else."""

    subscription_id: str = ""
    resource_group: str = ""
    workspace: str = ""
    data_factory: str | None = None
    log_analytics_workspace_id: str | None = None
    cloud: str = "AzureCloud"
    local_azure_url: str | None = None


class Webhook(_Section):
    """The webhook service. `secrets`: any one of them is accepted, so that two can be valid during a rotation."""

    host: str = "127.0.0.1"
    port: Port = 8710
    secrets: tuple[SecretStr, ...] = ()
    subscriptions: tuple[str, ...] = Field(default=(), description="Event Grid subscription names allowed; empty: any.")


class Prefect(_Section):
    """The Prefect server."""

    api_url: str = Field(default_factory=lambda: os.environ.get("PREFECT_API_URL", "http://127.0.0.1:4200/api"))
    auth: SecretStr | None = None


class Notify(_Section):
    """Who is told of decisions: Apprise addresses, each with its token."""

    urls: tuple[SecretStr, ...] = ()


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
