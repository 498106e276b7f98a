"""Artifacts that show the work of a flow run in Prefect's UI."""

from collections.abc import Sequence

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from anew.core.decisions.explain import to_markdown
from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.lifecycle import Rollout
from anew.engine.decisions.act import Decided

_TREES_AT_MOST = 10


async def show_decisions(decided: Sequence[Decided]) -> None:
    """Show the tree of each decision. Of many decisions, show the first trees and one table of all: a thousand
    artifacts would block Prefect's server.
    """
    for each in decided[:_TREES_AT_MOST]:
        await show_decision(each)
    if len(decided) > _TREES_AT_MOST:
        rows = [
            {"decision": each.record.id, "model": each.record.model, "reason": each.decision.tree.sentence}
            for each in decided
        ]
        await acreate_table_artifact(key="decisions", table=rows, description=f"{len(rows)} decisions of one run")


async def show_decision(decided: Decided) -> None:
    """Show the tree of a decision, and a table of the signals that it rests on."""
    record = decided.record
    await acreate_markdown_artifact(
        key=f"decision-{record.model.lower()}",
        markdown=to_markdown(decided.decision),
        description=f"{record.id}: {record.outcome} {record.model}",
    )
    signals = [
        {"metric": s.metric, "feature": s.feature or "", "value": s.value, "source": s.source, "at": s.at.isoformat()}
        for s in decided.evidence.signals
    ]
    if signals:
        await acreate_table_artifact(key=f"drift-{record.model.lower()}", table=signals, description=record.id)


async def show_gate(retraining: Retraining) -> None:
    """Show the comparison of challenger and champion, if there is one yet."""
    gate = retraining.gate
    if gate is None:
        return
    await acreate_markdown_artifact(
        key=f"gate-{retraining.model.lower()}",
        markdown=f"## {gate.outcome}\n\n{gate.sentence}\n\nRows: {gate.rows}, content {gate.data_hash or '-'}\n",
        description=f"{retraining.id}: {gate.outcome}",
    )


async def show_rollout(rollout: Rollout) -> None:
    """Show the state of a rollout."""
    title = f"{rollout.model}:{rollout.version} on {rollout.endpoint}: {rollout.state}"
    await acreate_markdown_artifact(
        key=f"rollout-{rollout.endpoint}",
        markdown=f"## {title}\n\n{rollout.reason or ''}\n",
        description=rollout.id,
    )
