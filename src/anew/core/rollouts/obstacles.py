"""Why a rollout must not start at an endpoint that exists. Pure."""

from collections.abc import Iterable, Mapping

from anew.core.base.versions import is_newer
from anew.core.rollouts.lifecycle import Rollout
from anew.core.rollouts.traffic import nonzero


def traffic_obstacle(rollout: Rollout, traffic: Mapping[str, int]) -> str | None:
    """Why the endpoint's live traffic, in percent by deployment, forbids any rollout; None when it does not."""
    deployments = sorted(nonzero(traffic))
    if deployments == [rollout.deployment]:
        return f"{rollout.endpoint} serves version {rollout.version} already"
    if len(deployments) > 1:
        shared = ", ".join(deployments)
        return f"the traffic of {rollout.endpoint} is shared by {shared}: give one of them all of it first"
    return None


def release_obstacle(
    rollout: Rollout, served: str | None, waiting: Iterable[str], compared_with: str | None
) -> str | None:
    """Why this version must not be released; None when it may.

    `served` is the version that serves, `waiting` are the versions that wait for the same endpoint, and `compared_with`
    is the version that the gate compared this one with; None when there is none.
    """
    if served is not None and not is_newer(rollout.version, served):
        return f"{rollout.endpoint} already serves version {served}"
    newer = next((version for version in waiting if is_newer(version, rollout.version)), None)
    if newer is not None:
        return f"version {newer} also waits for {rollout.endpoint}, and is released instead"
    if None not in (served, compared_with) and served != compared_with:
        return (
            f"it was compared with version {compared_with}, but {rollout.endpoint} serves {served}: "
            "it is unknown which is better"
        )
    return None
