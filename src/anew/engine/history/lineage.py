"""The chain of one id, both ways: back to the events that caused it, forward to the traffic it has or had."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from anew.core.history.graph import Lineage, LineageNode, NodeKind
from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.lifecycle import Rollout, RolloutKind
from anew.core.rollouts.traffic_history import Period, name_of, names_in, split_words
from anew.engine.base.ledger import DecisionRecord, InboxEntry, Ledger
from anew.engine.history.traffic import EndpointHistory, decision_named, events_of, rollouts_by, traffic_history
from anew.errors import NothingKnown

_DECISIONS = 1000


def lineage(ledger: Ledger, about: str) -> Lineage:
    """The graph around an event (its id or inbox key), decision, retraining, rollout, external run, `model:version`, or
    model (what of it serves now). Raises NothingKnown.
    """
    drawing = _Drawing(ledger)
    if (rollout := ledger.rollout(about)) is not None:
        drawing.version(rollout.model, rollout.version)
    elif (decision := ledger.decision(about)) is not None:
        drawing.decision(decision)
    elif (retraining := ledger.retraining(about) or ledger.retraining_by_job(about)) is not None:
        drawing.retraining(retraining)
    elif (entry := ledger.entry(about)) is not None:
        drawing.event(entry)
    elif drawing.knows_version(about):
        drawing.version(*_split(about))
    else:
        drawing.serving(about)
    return drawing.graph


@dataclass(slots=True)
class _Drawing:
    """A graph under way: each method adds its thing, unless it is there, and then what is next to it."""

    ledger: Ledger
    graph: Lineage = field(default_factory=Lineage)

    def event(self, entry: InboxEntry) -> None:
        covering = [each for each in self.ledger.decisions(limit=_DECISIONS) if entry.key in each.covers]
        for decision in covering:
            self.decision(decision)
            self._event(entry, decision)
        if covering:
            return
        subject = entry.subject_id or ""
        retraining = self.ledger.retraining(subject) or self.ledger.retraining_by_job(entry.event.run_id or "")
        if (rollout := self.ledger.rollout(subject)) is not None:
            self.version(rollout.model, rollout.version)
        elif retraining is not None:
            self.retraining(retraining)
        elif entry.event.model and entry.event.version and self.knows_version(_name(entry)):
            self.version(entry.event.model, entry.event.version)
        else:
            self.graph.add(_event_node(entry, entry.outcome or "waits in the inbox"))

    def decision(self, decision: DecisionRecord) -> None:
        if not self.graph.add(_decision_node(decision)):
            return
        for entry in events_of(self.ledger, decision):
            self._event(entry, decision)
        if decision.retraining_id and (retraining := self.ledger.retraining(decision.retraining_id)):
            self.retraining(retraining)
        if decision.leaves_version:
            self._went_back(decision)

    def retraining(self, retraining: Retraining) -> None:
        if not self.graph.add(_retraining_node(retraining)):
            return
        decision = self.ledger.decision(retraining.decision_id)
        if decision is not None:
            self.decision(decision)
            self.graph.link(decision.id, retraining.id)
        last = retraining.id
        if retraining.gate is not None:
            last = f"{retraining.id}/gate"
            self.graph.add(_gate_node(retraining, last))
            self.graph.link(retraining.id, last)
        if retraining.champion_version is not None:
            champion = LineageNode(f"{retraining.model}:{retraining.champion_version}", NodeKind.VERSION,
                                   f"{retraining.model}:{retraining.champion_version}")  # fmt: skip
            self.graph.add(champion)
            self.graph.link(champion.id, last, "compared with", beside=True)
        if retraining.new_version is not None:
            self.version(retraining.model, retraining.new_version)
            self.graph.link(last, f"{retraining.model}:{retraining.new_version}")

    def version(self, model: str, version: str) -> None:
        made = [each for each in self.ledger.retrainings(model=model) if each.new_version == version]
        if not self.graph.add(_version_node(model, version, known=bool(made))):
            return
        for retraining in made:
            self.retraining(retraining)
            self.graph.link(self._last_of(retraining), f"{model}:{version}")
        ours = [rollout for rollout in self._rollouts(model) if rollout.version == version]
        for rollout in ours:
            self._rollout(rollout)
        for endpoint in self._endpoints(model):
            self._traffic(f"{model}:{version}", endpoint, {rollout.id for rollout in ours})

    def serving(self, model: str) -> None:
        """What of the model serves now, everywhere. Raises NothingKnown."""
        names = [name_of(share) for endpoint in self._endpoints(model) for share in endpoint.now.shares]
        for found, version in map(_split, names):
            if found.casefold() == model.casefold():
                self.version(found, version)
        if not self.graph.nodes:
            for decision in self.ledger.decisions(model, limit=1):
                self.decision(decision)
        if not self.graph.nodes:
            raise NothingKnown(
                f"the ledger knows no event, decision, retraining, rollout, version or model called {model}"
            )

    def knows_version(self, about: str) -> bool:
        model, version = _split(about)
        if not model:
            return False
        trained = {each.new_version for each in self.ledger.retrainings(model=model)}
        seen = {name for endpoint in self._endpoints(model) for name in names_in(endpoint.line)}
        return version in trained | {each.version for each in self._rollouts(model)} or about in seen

    def _event(self, entry: InboxEntry, decision: DecisionRecord) -> None:
        self.graph.add(_event_node(entry))
        self.graph.link(entry.key, decision.id)

    def _went_back(self, decision: DecisionRecord) -> None:
        for rollout in rollouts_by(self.ledger, decision):
            self.version(rollout.model, rollout.version)
            self.graph.link(decision.id, rollout.id, "goes back")

    def _rollout(self, rollout: Rollout) -> None:
        if not self.graph.add(_rollout_node(rollout)):
            return
        reference = f"{rollout.model}:{rollout.version}"
        self.graph.link(reference, rollout.id)
        decision = decision_named(self.ledger, rollout.request_reason, rollout.reason)
        if decision is not None:
            self.decision(decision)

    def _traffic(self, reference: str, endpoint: EndpointHistory, ours: Collection[str]) -> None:
        """What the version served here, each time under the rollout that brought it, or under the version itself."""
        for held in _times_held(endpoint.line, reference):
            brought_by = held[0].change.rollout_id
            above = brought_by if brought_by in ours and brought_by else reference
            node = _traffic_node(reference, endpoint, held)
            self.graph.add(node)
            self.graph.link(above, node.id)

    def _endpoints(self, model: str) -> tuple[EndpointHistory, ...]:
        try:
            return traffic_history(self.ledger, model)
        except NothingKnown:
            return ()

    def _rollouts(self, model: str) -> list[Rollout]:
        return self.ledger.rollouts(model=model)

    def _last_of(self, retraining: Retraining) -> str:
        return f"{retraining.id}/gate" if retraining.gate is not None else retraining.id


# --- traffic ----------------------------------------------------------------------------------------------


def _times_held(line: Sequence[Period], reference: str) -> list[list[Period]]:
    """The periods in which the version had live traffic, those that follow each other together."""
    runs = groupby(line, key=lambda period: _share(period, reference) > 0)
    return [list(periods) for has_some, periods in runs if has_some]


def _share(period: Period, reference: str) -> int:
    return sum(share.percent for share in period.change.shares if name_of(share) == reference)


def _traffic_node(reference: str, endpoint: EndpointHistory, held: Sequence[Period]) -> LineageNode:
    since, until = held[0].since, held[-1].until
    node_id = f"{reference}@{endpoint.place}@{since.isoformat()}"
    if until is None:
        title = f"serves {_share(held[-1], reference)} % of {endpoint.place}"
        return LineageNode(node_id, NodeKind.TRAFFIC, title, (f"since {_moment(since)}",), since)
    after = next(each for each in endpoint.line if each.since == until).change
    title = f"served up to {max(_share(each, reference) for each in held)} % of {endpoint.place}"
    details = (f"until {_moment(until)}, then {split_words(after)} ({after.rollout_id or after.actor})",)
    return LineageNode(node_id, NodeKind.TRAFFIC, title, details, since)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


# --- nodes ------------------------------------------------------------------------------------------------


def _event_node(entry: InboxEntry, *more: str) -> LineageNode:
    what = f"{entry.event.type.rpartition('.')[2]} {entry.event.subject}"
    return LineageNode(entry.key, NodeKind.EVENT, entry.event.id, (what, *more), entry.event.time)


def _decision_node(decision: DecisionRecord) -> LineageNode:
    told = str(decision.tree.get("sentence", decision.outcome))
    count = len(decision.covers)
    details = (told, *((f"covers {count} events",) if count > 1 else ()))
    return LineageNode(
        decision.id, NodeKind.DECISION, f"{decision.id} {decision.outcome}", details, decision.decided_at
    )


def _retraining_node(retraining: Retraining) -> LineageNode:
    details = (
        f"{retraining.launcher} run {retraining.external_run_id or 'not launched'}, job {retraining.job_name}",
        *((f"evaluated by {retraining.evaluation_job}",) if retraining.gate else ()),
        *((retraining.reason,) if retraining.reason else ()),
        *(("somebody else's training, which the policy claims",) if retraining.is_adopted else ()),
    )
    title = f"{retraining.id} {retraining.state}"
    return LineageNode(retraining.id, NodeKind.RETRAINING, title, details, retraining.created_at)


def _gate_node(retraining: Retraining, node_id: str) -> LineageNode:
    gate = retraining.gate
    assert gate is not None
    said = f"{retraining.approval} by {retraining.approval_by}: {retraining.approval_reason}"
    details = (gate.sentence, *((said,) if retraining.approval else ()))
    return LineageNode(node_id, NodeKind.GATE, str(gate.outcome), details)


def _version_node(model: str, version: str, *, known: bool) -> LineageNode:
    unknown = "anew did not register it, and does not know what it was trained from"
    return LineageNode(f"{model}:{version}", NodeKind.VERSION, f"{model}:{version}", () if known else (unknown,))


def _rollout_node(rollout: Rollout) -> LineageNode:
    what = "brought back" if rollout.kind is RolloutKind.ROLLBACK else "released"
    title = f"{rollout.id} {what} to {rollout.place}: {rollout.state}"
    details = tuple(reason for reason in (rollout.request_reason, rollout.reason) if reason)
    return LineageNode(rollout.id, NodeKind.ROLLOUT, title, details, rollout.created_at)


def _split(reference: str) -> tuple[str, str]:
    model, _, version = reference.rpartition(":")
    return model, version


def _name(entry: InboxEntry) -> str:
    return f"{entry.event.model}:{entry.event.version}"
