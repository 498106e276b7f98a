"""`anew explain`: why did, or didn't, it retrain?"""

from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from anew.cli.output import one_line, print_json, utc
from anew.cli.trees import rich_tree
from anew.core.decisions.explain import from_json
from anew.core.events.serialization import event_line
from anew.core.rollouts.lifecycle import Rollout, RolloutKind
from anew.engine.base.ledger import InboxEntry
from anew.engine.history.trace import Trace, trace, trace_of_model
from anew.errors import InvalidPolicy, UnknownModel
from anew.settings import load_settings
from anew.wiring import open_ledger


def explain(id: str, *, at: datetime | None = None, json: bool = False) -> None:
    """Explain why anew did, or did not, retrain: the rules, the values compared, the events, and the result.

    Parameters
    ----------
    id
        An event, decision, retraining or rollout id, an external run, model:version, or a model.
    at
        For a model: the moment to explain; default: now. Without an offset it is UTC.
    json
        Print one JSON object.
    """
    settings = load_settings()
    ledger = open_ledger(settings)
    monitors = _monitors(settings.policies, id)
    if monitors is not None or ledger.decisions(id, limit=1):
        found = trace_of_model(ledger, id, monitors or (), utc(at))
    else:
        found = trace(ledger, id)
    if json:
        print_json(_as_json(found))
    else:
        show_trace(Console(highlight=False), found)


def _monitors(folder: Path, model: str) -> tuple[str, ...] | None:
    from anew.adapters.policy_folder import load_policies

    try:
        return load_policies(folder).for_model(model).monitors
    except (InvalidPolicy, UnknownModel):
        return None  # the ledger still knows models whose policy is gone or broken


def _as_json(found: Trace) -> dict[str, object]:
    return {
        "events": [_event_json(entry) for entry in found.chain.events],
        "decision": found.chain.decision,
        "retraining": found.chain.retraining,
        "rollouts": list(found.chain.rollouts),
        "audit": list(found.audit),
        "ignored": [_event_json(entry) for entry in found.ignored],
    }


def _event_json(entry: InboxEntry) -> dict[str, object]:
    state = {"source": entry.source, "deliveries": entry.deliveries, "outcome": entry.outcome}
    return {**event_line(entry.event), **state}


def show_trace(console: Console, found: Trace) -> None:
    """Print the chain from events to rollouts, with the reasons."""
    decision, retraining = found.chain.decision, found.chain.retraining
    if decision is not None:
        console.print(
            f"[bold]{decision.outcome}[/] {decision.model}  {decision.id}  {decision.decided_at:%Y-%m-%d %H:%M:%S}Z"
        )
        console.print(f"policy {decision.policy_source} ({decision.policy_hash[:19]})")
        console.print(rich_tree(from_json(decision.tree)))
    else:
        console.print("no decision")
    for entry in found.chain.events:
        _show_line(console, "event", _event_text(entry))
    for entry in found.ignored:
        _show_line(console, "no part", _event_text(entry), style="yellow")
    if retraining is not None:
        run = retraining.job_name if retraining.is_adopted else retraining.external_run_id or "not launched"
        _show_line(console, "run", f"{retraining.launcher} {run}: {retraining.state} {retraining.reason or ''}")
        if retraining.gate:
            _show_line(console, "gate", f"{retraining.gate.outcome}: {retraining.gate.sentence}")
    for rollout in found.chain.rollouts:
        _show_line(console, "back" if rollout.kind is RolloutKind.ROLLBACK else "deploy", _rollout_text(rollout))
    for row in found.audit:
        console.print(f"[dim]{row.at:%H:%M:%S}  {row.subject} {row.subject_id} {row.what} by {escape(row.actor)}[/]")


def _show_line(console: Console, label: str, text: str, style: str = "") -> None:
    console.print(Text.assemble((label, style), " " * (8 - len(label)), one_line(text)), soft_wrap=True)


def _event_text(entry: InboxEntry) -> str:
    deliveries = f"{entry.source}, {entry.deliveries} deliver{'y' if entry.deliveries == 1 else 'ies'}"
    about = f"{entry.event.type.rpartition('.')[2]} {entry.event.subject}"
    return f"{about} ({deliveries}): {entry.outcome or 'waits in the inbox'}"


def _rollout_text(rollout: Rollout) -> str:
    before = f" instead of {rollout.previous_version}" if rollout.previous_version else ""
    reason = "; ".join(each for each in (rollout.request_reason, rollout.reason) if each)
    return f"{rollout.model}:{rollout.version}{before} on {rollout.place}: {rollout.state} {reason}"
