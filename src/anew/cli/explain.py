"""`anew explain`: why did, or didn't, it retrain?"""

from rich.console import Console
from rich.tree import Tree

from anew.cli.output import print_json
from anew.core.decision import Node, Verdict
from anew.core.event_json import event_line
from anew.core.explain import from_json
from anew.engine.story import Story, tell
from anew.settings import load_settings
from anew.wiring import open_ledger

_MARK = {
    Verdict.YES: "[green]✓[/]",
    Verdict.NO: "[red]✗[/]",
    Verdict.UNKNOWN: "[yellow]?[/]",
    Verdict.ERROR: "[red]![/]",
}


def explain(id: str, *, json: bool = False) -> None:
    """Explain a decision: the rules, the values compared, the events it covers and what came of it.

    Parameters
    ----------
    id
        An event, decision, retraining or rollout id, an external run, or a model (its newest decision).
    json
        Print one JSON object.
    """
    story = tell(open_ledger(load_settings()), id)
    if json:
        print_json(_as_json(story))
    else:
        _show(Console(highlight=False), story)


def _as_json(story: Story) -> dict[str, object]:
    return {
        "events": [
            {
                **event_line(entry.event),
                "source": entry.source,
                "deliveries": entry.deliveries,
                "outcome": entry.outcome,
            }
            for entry in story.events
        ],
        "decision": story.decision,
        "retraining": story.retraining,
        "rollouts": list(story.rollouts),
        "audit": list(story.audit),
    }


def _show(console: Console, story: Story) -> None:
    decision = story.decision
    if decision is not None:
        console.print(
            f"[bold]{decision.outcome}[/] {decision.model}  {decision.id}  {decision.decided_at:%Y-%m-%d %H:%M:%S}Z"
        )
        console.print(f"policy {decision.policy_source} ({decision.policy_hash[:19]})")
        console.print(_tree(from_json(decision.tree)))
    for entry in story.events:
        seen = f"{entry.source}, {entry.deliveries} deliver{'y' if entry.deliveries == 1 else 'ies'}"
        what = f"{entry.event.type.rpartition('.')[2]} {entry.event.subject}"
        console.print(f"event  {what} ({seen}): {entry.outcome or 'waits in the inbox'}", soft_wrap=True)
    if story.retraining:
        item = story.retraining
        console.print(
            f"run    {item.launcher} {item.external_run_id or 'not launched'}: {item.state} {item.reason or ''}"
        )
        if item.gate:
            console.print(f"gate   {item.gate.outcome}: {item.gate.sentence}")
    for rollout in story.rollouts:
        console.print(
            f"deploy {rollout.model}:{rollout.version} on {rollout.endpoint}: {rollout.state} {rollout.reason or ''}"
        )
    for row in story.audit:
        console.print(f"[dim]{row.at:%H:%M:%S}  {row.subject} {row.subject_id} {row.what} by {row.actor}[/]")


def _tree(node: Node) -> Tree:
    tree = Tree(f"{_MARK[node.verdict]} {node.sentence}")
    _grow(tree, node)
    return tree


def _grow(tree: Tree, node: Node) -> None:
    for child in node.children:
        _grow(tree.add(f"{_MARK[child.verdict]} {child.sentence}"), child)
