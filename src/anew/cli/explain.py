"""`anew explain`: why did, or didn't, it retrain?"""

from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from anew.cli.output import one_line, print_json, utc
from anew.cli.trees import rich_tree
from anew.core.decisions.explain import from_json
from anew.core.events.serialization import event_line
from anew.core.rollouts.lifecycle import Rollout, RolloutKind
from anew.engine.base.ledger import InboxEntry, Ledger
from anew.engine.history.trace import Story, tell, tell_of_model
from anew.errors import InvalidPolicy, UnknownModel
from anew.settings import load_settings
from anew.wiring import open_ledger


def explain(id: str, *, at: datetime | None = None, json: bool = False) -> None:
    """Explain why it did, or did not, retrain: the rules, the values compared, the events, and what came of it.

    Parameters
    ----------
    id
        An event, decision, retraining or rollout id, an external run, or a model.
    at
        For a model: the moment asked about; default: now. Without an offset it is UTC.
    json
        Print one JSON object.
    """
    settings = load_settings()
    story = _story(open_ledger(settings), settings.policies, id, at)
    if json:
        print_json(_as_json(story))
    else:
        show_story(Console(highlight=False), story)


def _story(ledger: Ledger, folder: Path, id: str, at: datetime | None) -> Story:
    moment = utc(at)
    known = bool(ledger.decisions(model=id, limit=1))
    watched = _monitors(folder, id)
    if known or watched is not None:
        return tell_of_model(ledger, id, watched or (), moment)
    return tell(ledger, id)


def _monitors(folder: Path, model: str) -> tuple[str, ...] | None:
    from anew.adapters.policy_folder import load_policies

    try:
        return load_policies(folder).for_model(model).monitors
    except (InvalidPolicy, UnknownModel):
        return None  # the ledger can be asked about models whose policy is gone, or broken


def _as_json(story: Story) -> dict[str, object]:
    return {
        "events": [_heard(entry) for entry in story.events],
        "decision": story.decision,
        "retraining": story.retraining,
        "rollouts": list(story.rollouts),
        "audit": list(story.audit),
        "ignored": [_heard(entry) for entry in story.ignored],
    }


def _heard(entry: InboxEntry) -> dict[str, object]:
    told = {"source": entry.source, "deliveries": entry.deliveries, "outcome": entry.outcome}
    return {**event_line(entry.event), **told}


def show_story(console: Console, story: Story) -> None:
    """Print the chain from events to rollouts, with the reasons."""
    decision = story.decision
    if decision is not None:
        console.print(
            f"[bold]{decision.outcome}[/] {decision.model}  {decision.id}  {decision.decided_at:%Y-%m-%d %H:%M:%S}Z"
        )
        console.print(f"policy {decision.policy_source} ({decision.policy_hash[:19]})")
        console.print(rich_tree(from_json(decision.tree)))
    else:
        console.print("nothing was decided")
    for entry in story.events:
        _show_entry(console, "event  ", entry)
    for entry in story.ignored:
        _show_entry(console, "[yellow]no part[/]", entry)
    if story.retraining:
        item = story.retraining
        run = item.job_name if item.is_adopted else item.external_run_id or "not launched"
        console.print(f"run    {item.launcher} {run}: {item.state} {item.reason or ''}")
        if item.gate:
            console.print(f"gate   {item.gate.outcome}: {item.gate.sentence}")
    for rollout in story.rollouts:
        _show_rollout(console, rollout)
    for row in story.audit:
        console.print(f"[dim]{row.at:%H:%M:%S}  {row.subject} {row.subject_id} {row.what} by {row.actor}[/]")


def _show_rollout(console: Console, rollout: Rollout) -> None:
    what = "back   " if rollout.kind is RolloutKind.ROLLBACK else "deploy "
    before = f" instead of {rollout.previous_version}" if rollout.previous_version else ""
    reason = one_line("; ".join(each for each in (rollout.request_reason, rollout.reason) if each))
    line = f"{what}{rollout.model}:{rollout.version}{before} on {rollout.place}: {rollout.state} {reason}".rstrip()
    console.print(Text(line), soft_wrap=True)


def _show_entry(console: Console, label: str, entry: InboxEntry) -> None:
    seen = f"{entry.source}, {entry.deliveries} deliver{'y' if entry.deliveries == 1 else 'ies'}"
    what = f"{entry.event.type.rpartition('.')[2]} {entry.event.subject}"
    console.print(f"{label} {what} ({seen}): {entry.outcome or 'waits in the inbox'}", soft_wrap=True)
