"""`promote`: evaluate, gate and register the candidates of trainings that ended."""

from typing import Any

from prefect import flow, get_run_logger

from anew.engine.retrainings.finished_runs import handle_finished_runs
from flows._artifacts import show_gate
from flows._engine import run


@flow(name="promote")
async def promote(event: dict[str, Any] | None = None) -> list[str]:
    """Advance every retraining whose run ended; returns their ids and states.

    Args:
        event: The event that started this run. Not read: the work is in the inbox.
    """
    logger = get_run_logger()
    report = await run(handle_finished_runs)
    for retraining in report.retrainings:
        logger.info(
            "retraining %s of %s: %s %s", retraining.id, retraining.model, retraining.state, retraining.reason or ""
        )
        await show_gate(retraining)
    for deferred in report.deferred:
        logger.warning("not advanced yet, stays in the inbox: %s", deferred)
    return [f"{retraining.id}: {retraining.state}" for retraining in report.retrainings]
