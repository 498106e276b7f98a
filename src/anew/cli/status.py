"""`anew status`: open work, newest decisions, and the inbox."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from anew.cli.output import print_json
from anew.core.events.event import Cause
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, RetrainingState
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT
from anew.engine.base.ledger import Ledger
from anew.settings import load_settings
from anew.wiring import open_ledger


def status(*, json: bool = False) -> None:
    """Show open retrainings and rollouts, the newest decisions, the inbox, and ignored events.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    settings = load_settings()
    ledger = open_ledger(settings)
    if json:
        print_json(_as_json(ledger))
    else:
        _show(Console(highlight=False), ledger)


def _as_json(ledger: Ledger) -> dict[str, object]:
    return {
        "inbox": [
            {"key": e.key, "event_id": e.event.id, "cause": e.cause, "received_at": e.received_at}
            for e in ledger.unsettled(list(Cause))
        ],
        "decisions": [
            {
                "id": d.id,
                "model": d.model,
                "outcome": d.outcome,
                "decided_at": d.decided_at,
                "retraining_id": d.retraining_id,
            }
            for d in ledger.decisions(limit=20)
        ],
        "retrainings": ledger.retrainings(),
        "rollouts": ledger.rollouts(),
        "ignored": ledger.ignored_counts(),
    }


def _show(console: Console, ledger: Ledger) -> None:
    waiting = ledger.unsettled(list(Cause))
    open_runs, open_rollouts = ledger.retrainings(OPEN_RETRAINING), ledger.rollouts(OPEN_ROLLOUT)
    console.print(
        f"inbox {len(waiting)} waiting, {len(open_runs)} retrainings open, {len(open_rollouts)} rollouts open"
    )
    now = datetime.now(UTC)
    for run in open_runs:
        console.print(
            f"  {run.id}  {run.model}  {run.state} for {str(now - run.state_since).split('.')[0]}"
            f"  {run.external_run_id or ''}"
        )
        if run.approval_deadline is not None and run.state is RetrainingState.AWAITING_APPROVAL:
            console.print(
                f"    answer until {run.approval_deadline:%Y-%m-%d %H:%M}Z; no answer counts as rejected:"
                f" anew approve {run.id} --reason TEXT, or anew reject {run.id} --reason TEXT",
                soft_wrap=True,
            )
    for rollout in open_rollouts:
        console.print(f"  {rollout.id}  {rollout.model}:{rollout.version} to {rollout.endpoint}  {rollout.state}")
    table = Table("when", "decision", "model", "outcome", "retraining", box=None, pad_edge=False)
    for decision in ledger.decisions(limit=10):
        when = f"{decision.decided_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(when, decision.id, decision.model, decision.outcome, decision.retraining_id or "")
    if table.row_count:
        console.print(table)
    for ignored in ledger.ignored_counts():
        console.print(f"[dim]ignored {ignored.count} x {ignored.type}: {ignored.reason}[/]")
    if table.row_count:
        console.print("Why: anew explain ID")
