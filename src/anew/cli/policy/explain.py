"""`anew policy explain`: the decision that a policy would make now, without recording or starting anything."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from anew.cli.events.parse import FileOrStdin, read_events
from anew.cli.output import print_json
from anew.cli.trees import rich_tree
from anew.core.decisions.explain import to_json
from anew.errors import UnknownModel
from anew.settings import load_settings


def explain(policy: Path, *, event: FileOrStdin | None = None, model: str | None = None, json: bool = False) -> int:
    """Show what a policy would decide now, on events from a file and on evidence of its sources. No side effects.

    Parameters
    ----------
    policy
        The policy file.
    event
        A file with events as Event Grid sends them, or - for standard input; default: only the sources.
    model
        The model, if the file holds several policies.
    json
        Print one JSON object: {"model", "outcome", "tree", "evidence", "ignored"}.
    """
    from anew.adapters.policy_folder import load_policy_files
    from anew.core.evidence.serialization import evidence_json
    from anew.engine.decisions.preview import preview
    from anew.wiring import evidence_readers, ledger_to_read

    policies = load_policy_files([policy], check_paths=False)
    compiled = policies.compiled(model or _only(policies.all, policy))
    settings = load_settings()
    readers = evidence_readers(settings, {spec.kind for spec in compiled.policy.evidence.sources})
    events = read_events(event) if event else []
    seen = preview(ledger_to_read(settings), readers, compiled, events, datetime.now(UTC))
    if json:
        print_json(
            {
                "model": compiled.policy.model,
                "outcome": seen.decision.outcome,
                "tree": to_json(seen.decision.tree),
                "evidence": evidence_json(seen.evidence),
                "ignored": list(seen.ignored),
            }
        )
        return 0
    console = Console(highlight=False)
    console.print(rich_tree(seen.decision.tree))
    for reason in seen.ignored:
        console.print(f"[yellow]ignored[/] {reason}", soft_wrap=True)
    return 0


def _only(policies: tuple[Any, ...], file: Path) -> str:
    if len(policies) == 1:
        return str(policies[0].model)
    names = ", ".join(policy.model for policy in policies)
    raise UnknownModel(f"{file} holds {len(policies)} policies", advice=f"Choose one by --model: {names}")
