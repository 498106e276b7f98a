"""`deploy`: roll out the registered versions whose tags match a deploy rule."""

from typing import Any

from prefect import flow, get_run_logger

from anew.engine.rollouts.deploy import deploy as roll_out
from flows._artifacts import show_rollout
from flows._engine import run


@flow(name="deploy")
async def deploy(event: dict[str, Any] | None = None) -> list[str]:
    """Open and advance rollouts; returns their ids with the state reached.

    Args:
        event: The hint that started this run. It is not read: the work is in the inbox.
    """
    logger = get_run_logger()
    report = await run(roll_out)
    for rollout in report.rollouts:
        logger.info(
            "rollout %s of %s:%s to %s: %s", rollout.id, rollout.model, rollout.version, rollout.endpoint, rollout.state
        )
        await show_rollout(rollout)
    for deferred in report.deferred:
        logger.warning("not advanced yet: %s", deferred)
    return [f"{rollout.id}: {rollout.state}" for rollout in report.rollouts]
