"""`approval`: ask a person, by a form in Prefect, whether a candidate may be registered."""

from prefect import flow, get_run_logger
from prefect.flow_runs import asuspend_flow_run

from anew.adapters.prefect.forms import ApprovalForm
from anew.core.decisions.explain import escaped, one_line
from anew.engine.promotion.approving import decide_approval
from anew.engine.promotion.forms import pending_approval
from anew.errors import IllegalTransition, NothingKnown
from flows._artifacts import show_gate
from flows._engine import run_on_ledger


@flow(name="approval", flow_run_name="approval of {retraining_id}")
async def approval(retraining_id: str) -> str:
    """Show the gate's result and suspend until the form is filled in; returns the retraining's id and state.

    No process waits. A resumed run begins again, so it ends early if the candidate was decided elsewhere meanwhile.

    Args:
        retraining_id: The retraining that awaits approval.
    """
    logger = get_run_logger()
    pending = await run_on_ledger(lambda ledger, now: pending_approval(ledger, retraining_id, now))
    retraining = pending.retraining
    if pending.seconds_left is None:
        logger.info("%s does not await approval: %s. %s", retraining_id, retraining.state, retraining.reason or "")
        return f"{retraining_id}: {retraining.state}"
    await show_gate(retraining)
    sentence = escaped(retraining.gate.sentence) if retraining.gate else ""
    form = await asuspend_flow_run(
        wait_for_input=ApprovalForm.with_initial_data(
            description=f"## May the new {escaped(retraining.model)} be registered?\n\n{sentence}"
        ),
        timeout=pending.seconds_left,
        # A second request, such as after another version went live, gets a form of its own.
        key=f"asked-{retraining.approval_deadline:%Y%m%d-%H%M%S}",
    )
    by, reason = f"{one_line(form.your_name)} (Prefect)", one_line(form.reason)
    try:
        await run_on_ledger(lambda ledger, now: decide_approval(ledger, retraining_id, form.approve, by, reason, now))
    except (IllegalTransition, NothingKnown) as error:
        logger.warning("not recorded, the candidate was decided before: %s", error)
    decided = (await run_on_ledger(lambda ledger, now: pending_approval(ledger, retraining_id, now))).retraining
    logger.info("%s of %s: %s. %s", retraining_id, decided.model, decided.state, decided.reason or "")
    return f"{retraining_id}: {decided.state}"
