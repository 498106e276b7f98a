"""`reconcile`: on a schedule, everything that events did not bring."""

from prefect import flow, get_run_logger

from anew.engine.reconcile import reconcile as tick
from anew.errors import PrefectUnavailable
from flows._artifacts import show_decisions, show_gate, show_rollout
from flows._engine import run, sync_forms


@flow(name="reconcile")
async def reconcile() -> int:
    """One tick over everything that is open; returns how many missed happenings it found."""
    logger = get_run_logger()
    report = await run(tick)
    for decided in report.retrained.decided:
        logger.info("%s: %s", decided.record.id, decided.decision.tree.sentence)
    await show_decisions(report.retrained.decided)
    for retraining in report.advanced:
        if not retraining.is_open:
            await show_gate(retraining)
    for rollout in report.deployed.rollouts:
        await show_rollout(rollout)
    try:
        forms = await sync_forms()
        logger.info("approvals: %d forms opened, %d withdrawn", len(forms.opened), len(forms.withdrawn))
    except PrefectUnavailable as error:
        logger.warning("forms of approvals are left for the next tick: %s", error)
    for problem in report.problems:
        logger.warning("left for the next tick: %s", problem)
    logger.info("found %d that no event brought; %d retrainings open", report.found, len(report.advanced))
    return report.found
