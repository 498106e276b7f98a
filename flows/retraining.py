"""`retrain`: evidence, decision, launch, for drift that waits in the inbox or for a model a person names."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.decisions.request import request_retraining
from flows._artifacts import show_decisions
from flows._engine import run


@flow(name="retrain")
async def retrain(
    model: str | None = None, reason: str = "", force: bool = False, event: dict[str, Any] | None = None
) -> list[str]:
    """Decide about all drift in the inbox and launch what is due; returns the decisions' ids.

    Args:
        model: Ask for a decision about this model now, event or not.
        reason: Why, for the audit trail.
        force: Retrain whatever the rules say. The guard of one retraining in flight still holds.
        event: The hint that started this run. Not read: what counts is in the inbox.
    """
    logger = get_run_logger()
    if model is not None:
        request_id = str(flow_run.get_id())
        await run(lambda engine, now: request_retraining(engine, model, request_id, "prefect", reason, force, now))
    report = await run(decide_pending)
    for decided in report.decided:
        logger.info("%s: %s", decided.record.id, decided.decision.tree.sentence)
        if decided.not_notified:
            logger.warning("no notification of %s was sent: %s", decided.record.id, decided.not_notified)
    await show_decisions(report.decided)
    for waiting in report.waiting:
        logger.info("%s: waits for more events, for Azure to confirm one, or for a retraining to end", waiting)
    for deferred in report.deferred:
        logger.warning("not decided yet, stays in the inbox: %s", deferred)
    return [decided.record.id for decided in report.decided]
