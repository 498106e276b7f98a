"""Shared by online and batch endpoints: their states, and how a write to them may end."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from azure.ai.ml.entities import CodeConfiguration
from azure.core.polling import LROPoller

from anew.adapters.azure.errors import translated
from anew.core.policies.deploy import Deploy
from anew.core.rollouts.traffic import nonzero
from anew.engine.base.ports import DeploymentState
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable, TrafficMoved

_STATES: Mapping[str, DeploymentState] = {
    "succeeded": DeploymentState.READY,
    "failed": DeploymentState.FAILED,
    "canceled": DeploymentState.FAILED,
}


def state_of(entity: Any) -> DeploymentState:
    """The state of an endpoint or a deployment of the SDK. While Azure changes one, its state is CREATING."""
    # The SDK returns a plain string, or an enum whose str() is its name.
    state = getattr(entity.provisioning_state, "value", entity.provisioning_state)
    return _STATES.get(str(state or "").casefold(), DeploymentState.CREATING)


@contextmanager
def changing(what: str, read_endpoint: Callable[[], Any]) -> Generator[None]:
    """Wraps a write to an endpoint: as `translated`, but raises AzureUnavailable for a refusal while Azure is changing
    the endpoint.

    Besides 409, Azure has refused with "because it is in Updating provisioning state" under an unknown status
    (azure-sdk-for-net#36961), so we read the endpoint to learn what a refusal means.
    """
    try:
        with translated(what):
            yield
    except AzureNotFound:
        raise
    except AzureRefused as error:
        if state_of(read_endpoint()) is DeploymentState.CREATING:
            raise AzureUnavailable(f"{what}: Azure is still changing the endpoint") from error
        raise


def finish(what: str, poller: LROPoller[Any], within: timedelta) -> None:
    """Wait at most *within* for an operation. Raises AzureUnavailable if it goes on, or the error of the SDK."""
    poller.wait(within.total_seconds())
    if not poller.done():
        raise AzureUnavailable(f"{what}: Azure has begun, and has not finished yet")


def refuse_if_moved(endpoint: str, seen: Mapping[str, int], expected: Mapping[str, int] | None) -> None:
    """Raises TrafficMoved when the live traffic is not the expected one."""
    if expected is not None and nonzero(seen) != nonzero(expected):
        raise TrafficMoved(
            f"{endpoint} has the traffic {nonzero(seen)}, but had {nonzero(expected)} when it was last read"
        )


def refuse_unless_written(
    endpoint: str,
    live: tuple[Mapping[str, int], Mapping[str, int]],
    mirror: tuple[Mapping[str, int], Mapping[str, int]],
) -> None:
    """Compare traffic as (written, read back). Raises AzureUnavailable if they differ."""
    if any(nonzero(written) != nonzero(read) for written, read in (live, mirror)):
        raise AzureUnavailable(f"{endpoint} does not show the traffic just written; somebody else may have moved it")


def refuse_if_live(endpoint: str, deployment: str, traffic: Mapping[str, int]) -> None:
    """Raises AzureRefused if the deployment has live traffic."""
    if share := traffic.get(deployment):
        raise AzureRefused(f"{endpoint}/{deployment} takes {share} percent of the live traffic, so it is not deleted")


def scoring_code(rule: Deploy) -> CodeConfiguration | None:
    """The policy's scoring code; MLflow models need none."""
    if rule.code is None or rule.scoring_script is None:
        return None
    return CodeConfiguration(code=rule.code, scoring_script=rule.scoring_script)
