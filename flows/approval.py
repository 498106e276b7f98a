"""`approval`: ask a person, by a form in Prefect, whether a candidate may be registered."""

from prefect import flow, get_run_logger
from prefect.flow_runs import asuspend_flow_run

from anew.adapters.prefect.form import ApprovalForm
from anew.core.decisions.explain import escaped, one_line
from anew.engine.promotion.approving import answer
from anew.engine.promotion.asking import question_of
from anew.errors import IllegalTransition, NothingKnown
from flows._artifacts import show_gate
from flows._engine import run_on_ledger


@flow(name="approval", flow_run_name="approval of {retraining_id}")
async def approval(retraining_id: str) -> str:
    """Show the gate's finding and suspend until the form is filled in; returns what became of the retraining.

    Nothing runs meanwhile. A resumed run begins anew, so one that was answered by another door in between ends here.

    Args:
        retraining_id: The retraining that waits for an answer.
    """
    logger = get_run_logger()
    question = await run_on_ledger(lambda ledger, now: question_of(ledger, retraining_id, now))
    retraining = question.retraining
    if question.seconds_left is None:
        logger.info("%s waits for no answer: it is %s. %s", retraining_id, retraining.state, retraining.reason or "")
        return f"{retraining_id}: {retraining.state}"
    await show_gate(retraining)
    sentence = escaped(retraining.gate.sentence) if retraining.gate else ""
    form = await asuspend_flow_run(
        wait_for_input=ApprovalForm.with_initial_data(
            description=f"## May the new {escaped(retraining.model)} be registered?\n\n{sentence}"
        ),
        timeout=question.seconds_left,
        # Asked again, such as after another version went live, it is another question and gets another form.
        key=f"asked-{retraining.approval_deadline:%Y%m%d-%H%M%S}",
    )
    by, reason = f"{one_line(form.your_name)} (Prefect)", one_line(form.reason)
    try:
        await run_on_ledger(lambda ledger, now: answer(ledger, retraining_id, form.approve, by, reason, now))
    except (IllegalTransition, NothingKnown) as error:
        logger.warning("this answer came too late: %s", error)
    answered = (await run_on_ledger(lambda ledger, now: question_of(ledger, retraining_id, now))).retraining
    logger.info("%s of %s: %s. %s", retraining_id, answered.model, answered.state, answered.reason or "")
    return f"{retraining_id}: {answered.state}"
