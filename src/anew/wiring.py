"""The composition root: settings in, an engine out. No other module makes a client."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, assert_never, get_args

from anew.adapters.azure.sending import refuse_late
from anew.adapters.ledger import SqlLedger
from anew.adapters.policy_folder import load_policies
from anew.core.decisions.policy_set import Policies
from anew.core.policies.deploy import EndpointKind
from anew.core.policies.evidence import EvidenceKind
from anew.core.policies.policy import LauncherKind
from anew.engine.base.context import Engine, Timing
from anew.engine.base.ports import Endpoints, EvidenceReader, Notifier, TrainingLauncher
from anew.settings import Entra, Settings

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.mgmt.datafactory import DataFactoryManagementClient
    from azure.mgmt.eventgrid import EventGridManagementClient
    from azure.monitor.query import LogsQueryClient

    from anew.adapters.azure.entra.tokens import EntraVerifier
    from anew.adapters.azure.machine_learning.workspace import AzureMLJobs
    from anew.adapters.azure.monitor.log_analytics import LogAnalytics
    from anew.adapters.prefect.api import PrefectFlows
    from anew.core.retrainings.approval_links import ApprovalLinks
    from anew.webhook.authentication import Authenticator

# The SDK's own defaults wait for minutes, ten times over. What fails here, or is late, the next tick tries again, from
# what the ledger knows.
_SENDING: Mapping[str, Any] = {
    "raw_request_hook": refuse_late,
    "connection_timeout": 5,
    "read_timeout": 60,
    "retry_total": 3,
    "retry_backoff_factor": 0.4,
    "retry_backoff_max": 5,
}
# Seconds between two looks at an operation that is waited for; the SDK's 30 would be most of what a change takes.
_POLLING: Mapping[str, Any] = {"polling_interval": 5}
_AT_ONCE = 8
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class AzureAccess:
    """How the SDK clients reach Azure: the credential, and what differs for local Azure.

    `options` makes a fresh dict each time, because MLClient appends to the policy list it is given.
    """

    credential: Any
    options: Callable[[], dict[str, Any]]
    endpoint: str | None
    cloud: dict[str, Any]


def azure_access(settings: Settings) -> AzureAccess:
    """The real Azure, or the local one when the settings name it. The only place that knows there are two."""
    _forget_inherited_cloud()
    url = settings.azure.local_azure_url
    if url is None:
        from azure.identity import DefaultAzureCredential

        cloud = {"cloud": settings.azure.cloud, **_POLLING}
        return AzureAccess(DefaultAzureCredential(), lambda: dict(_SENDING), None, cloud)
    from anew.emulator.arm.credentials import connection

    local = connection(url)
    return AzureAccess(
        credential=local.credential,
        options=lambda: {"per_call_policies": local.policies(), **_SENDING},
        endpoint=local.base_url,
        cloud={"cloud": local.cloud, "cloud_metadata": local.cloud_metadata, "polling_interval": 0.05},
    )


def _forget_inherited_cloud() -> None:
    # MLClient leaves its cloud's name in the environment, and azure.ai.ml cannot be imported in a child process
    # that inherits the name of a cloud it does not know. Ours is in the settings.
    if "azure.ai.ml" not in sys.modules:
        os.environ.pop("AZUREML_CURRENT_CLOUD", None)


def ml_client(settings: Settings, access: AzureAccess) -> "MLClient":
    """The Azure ML client of the workspace in the settings."""
    from azure.ai.ml import MLClient

    # Its warnings are about its own classes ("experimental"), and would stand between the lines of a command.
    logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
    workspace = settings.workspace
    return MLClient(
        access.credential,
        workspace.subscription_id,
        workspace.resource_group,
        workspace.name,
        show_progress=False,
        **access.cloud,
        **access.options(),
    )


def data_factory_client(settings: Settings, access: AzureAccess) -> "DataFactoryManagementClient":
    """The Data Factory client of the subscription in the settings."""
    from azure.mgmt.datafactory import DataFactoryManagementClient

    base = {"base_url": access.endpoint} if access.endpoint else {}
    return DataFactoryManagementClient(
        access.credential, settings.workspace.subscription_id, **base, **access.options()
    )


def event_grid_client(settings: Settings, access: AzureAccess) -> "EventGridManagementClient":
    """The Event Grid management client of the subscription in the settings."""
    from azure.mgmt.eventgrid import EventGridManagementClient

    base = {"base_url": access.endpoint, "polling_interval": 0.05} if access.endpoint else {}
    return EventGridManagementClient(access.credential, settings.workspace.subscription_id, **base, **access.options())


def logs_client(access: AzureAccess) -> "LogsQueryClient":
    """The Log Analytics query client."""
    from azure.monitor.query import LogsQueryClient

    base = {"endpoint": access.endpoint, "audience": "https://api.loganalytics.io"} if access.endpoint else {}
    return LogsQueryClient(access.credential, **base, **access.options())


def log_analytics(settings: Settings, access: AzureAccess) -> "LogAnalytics":
    """Log Analytics, whose client is made when first needed."""
    from anew.adapters.azure.monitor.log_analytics import LogAnalytics

    return LogAnalytics(cache(lambda: logs_client(access)), settings.azure.log_analytics_workspace_id)


def evidence_readers(settings: Settings, kinds: Iterable[EvidenceKind]) -> dict[EvidenceKind, EvidenceReader]:
    """The readers of these kinds of evidence. A vendor's SDK is imported only for a kind that needs it."""
    access = cache(lambda: azure_access(settings))
    return {kind: _evidence_reader(settings, access, kind) for kind in kinds}


def _evidence_reader(settings: Settings, access: Callable[[], AzureAccess], kind: EvidenceKind) -> EvidenceReader:
    match kind:
        case "drift":
            from anew.adapters.evidence.window_drift import DriftOfWindows

            return DriftOfWindows()
        case "gain":
            from anew.adapters.evidence.retraining_gain import GainsOfRetraining

            return GainsOfRetraining(Path(".anew/cache"))
        case "log_analytics":
            return log_analytics(settings, access())
        case "monitor_history":
            from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking
            from anew.adapters.azure.machine_learning.monitor_history import AzureMonitorHistory

            client = cache(lambda: ml_client(settings, access()))
            return AzureMonitorHistory(MlflowTracking(client, access().credential, cloud=settings.azure.cloud))
        case _:
            assert_never(kind)


def webhook_authenticator(settings: Settings, *, on_loopback: bool) -> "Authenticator":
    """The authenticator of the webhook. Raises InvalidSettings without credentials, unless it is on loopback."""
    from anew.webhook.authentication import Authenticator

    webhook = settings.webhook
    return Authenticator(
        [secret.get_secret_value() for secret in webhook.secrets],
        _entra_verifier(webhook.entra) if webhook.entra.tenant_id else None,
        require=webhook.require,
        open_to_all=on_loopback,
    )


def _entra_verifier(entra: Entra) -> "EntraVerifier":
    from anew.adapters.azure.entra.keys import SigningKeys, fetch_keys
    from anew.adapters.azure.entra.tokens import EntraVerifier, Trusted

    trusted = Trusted(
        tenant_id=entra.tenant_id,
        audiences=frozenset(entra.audiences),
        application_id=entra.event_grid_application_id,
        role=entra.role,
        authority=entra.authority,
    )
    return EntraVerifier(trusted, SigningKeys(lambda: fetch_keys(trusted.keys_url)), lambda: datetime.now(UTC))


def ledger_to_read(settings: Settings) -> SqlLedger:
    """The ledger as it is, or an empty one where none was made yet."""
    return SqlLedger.open_to_read(settings.ledger)


def open_ledger(settings: Settings) -> SqlLedger:
    """The ledger of the settings, its schema brought up to date."""
    return SqlLedger.open(settings.ledger)


def build_engine(settings: Settings, actor: str, policies: Policies | None = None) -> Engine:
    """Everything a use-case needs; policies that are not given are read. Imports azure.ai.ml (seconds): for flows and
    workers, not for the webhook.
    """
    ledger = open_ledger(settings)
    access = within_quota(azure_access(settings), ledger, settings.azure.subscription_id)
    from anew.adapters.azure.machine_learning.missed_events import AzureMissedEvents
    from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking
    from anew.adapters.azure.machine_learning.monitor_history import AzureMonitorHistory
    from anew.adapters.azure.machine_learning.workspace import AzureMLJobs, AzureMLRegistry
    from anew.adapters.azure.monitor.traffic_log import LogAnalyticsTraffic

    ml = cache(lambda: ml_client(settings, access))
    logs = log_analytics(settings, access)
    tracking = MlflowTracking(ml, access.credential, cloud=settings.azure.cloud)
    jobs = AzureMLJobs(ml, logs, tracking)
    monitors = AzureMonitorHistory(tracking)
    return Engine(
        ledger=ledger,
        policies=load_policies(settings.policies) if policies is None else policies,
        workspace=settings.workspace,
        launchers={kind: _launcher(settings, access, jobs, kind) for kind in get_args(LauncherKind)},
        jobs=jobs,
        registry=AzureMLRegistry(ml),
        endpoints={kind: _endpoints(ml, kind) for kind in get_args(EndpointKind)},
        traffic_log=LogAnalyticsTraffic(logs),
        readers=evidence_readers(settings, get_args(EvidenceKind)),
        missed=AzureMissedEvents(logs, ml, settings.workspace, monitors.experiment_id),
        notifier=notifier(settings),
        clock=lambda: datetime.now(UTC),
        actor=actor,
        timing=Timing(
            inbox_lease=settings.timing.inbox_lease,
            rollout_lease=settings.timing.rollout_lease,
            visibility_delay=settings.timing.visibility_delay,
            confirm_within=settings.timing.confirm_within,
        ),
        map_concurrently=in_threads,
    )


def _launcher(settings: Settings, access: AzureAccess, jobs: "AzureMLJobs", kind: LauncherKind) -> TrainingLauncher:
    match kind:
        case "adf":
            from anew.adapters.azure.data_factory.launcher import DataFactoryTraining

            factory = data_factory_client(settings, access)
            return DataFactoryTraining(factory, settings.azure.resource_group, settings.azure.data_factory)
        case "aml":
            from anew.adapters.azure.machine_learning.workspace import AzureMLTraining

            return AzureMLTraining(jobs)
        case _:
            assert_never(kind)


def _endpoints(ml: Callable[[], "MLClient"], kind: EndpointKind) -> Endpoints:
    match kind:
        case "online":
            from anew.adapters.azure.machine_learning.online_endpoints import OnlineEndpoints

            return OnlineEndpoints(ml)
        case "batch":
            from anew.adapters.azure.machine_learning.batch_endpoints import BatchEndpoints

            return BatchEndpoints(ml)
        case _:
            assert_never(kind)


def notifier(settings: Settings) -> Notifier:
    """The notifier: people by notify.urls, with an approval link where there are links, and Prefect's automations."""
    from anew.adapters.notify import AppriseNotifier, Notifiers, Resting, WithApprovalLinks
    from anew.adapters.prefect.notifications import PrefectNotifier

    people, links = AppriseNotifier(settings.notify.urls), approval_links(settings)
    # Never in the event: everybody who reads Prefect's could answer.
    asked = WithApprovalLinks(people, links) if links else people
    return Notifiers(Resting(asked), Resting(PrefectNotifier(prefect_flows(settings, attempts=1))))


def approval_links(settings: Settings) -> "ApprovalLinks | None":
    """The links by which people answer; None when the settings have none. Raises InvalidSettings for a short secret."""
    from anew.core.retrainings.approval_links import ApprovalLinks

    approval = settings.approval
    if not approval.public_url:
        return None
    return ApprovalLinks(approval.public_url, tuple(secret.get_secret_value() for secret in approval.link_secrets))


def prefect_flows(settings: Settings, *, attempts: int = 3) -> "PrefectFlows":
    """The Prefect server of the settings, each request sent at most so often."""
    from anew.adapters.prefect.api import PrefectFlows

    prefect = settings.prefect
    auth = prefect.auth.get_secret_value() if prefect.auth else None
    return PrefectFlows(prefect.api_url, auth, attempts=attempts)


def within_quota(access: AzureAccess, ledger: SqlLedger, subscription_id: str) -> AzureAccess:
    """The same, sharing the quota of ARM reads with every process on this ledger."""
    from anew.adapters.azure.arm_quota import ArmQuota

    quota = ArmQuota(ledger, subscription_id)
    return replace(access, options=lambda: access.options() | {"per_retry_policies": [quota]})


def in_threads(function: Callable[[T], R], items: Iterable[T], /) -> list[R]:
    """The answers of the function for every item, some at a time: each may wait for Azure."""
    several = list(items)
    if len(several) < 2:
        return [function(item) for item in several]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="each") as pool:
        return list(pool.map(function, several))
