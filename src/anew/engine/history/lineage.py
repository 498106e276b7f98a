"""The chain of an id as a graph for a person: back to the events that caused it, forward to the traffic it has or had.
`anew lineage` draws it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from anew.core.gate import GateResult
from anew.core.history.graph import Lineage, LineageNode, NodeKind
from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.lifecycle import Rollout, RolloutKind
from anew.core.rollouts.traffic_history import Period, name_of, split_words
from anew.engine.base.ledger import DecisionRecord, InboxEntry, Ledger
from anew.engine.history.chain import Chain, Start, Version, Walk
from anew.engine.history.traffic import EndpointHistory
from anew.errors import NothingKnown

_EVENTS = 5  # of one decision


def lineage(ledger: Ledger, about: str) -> Lineage:
    """The graph around an event (its id or inbox key), decision, retraining, rollout, external run, `model:version`, or
    model (the versions that serve now, else its newest decision). Raises NothingKnown.
    """
    walk = Walk(ledger, _EVENTS)
    starts = walk.find(about) or list(_serving(walk, about)) or ledger.decisions(about, limit=1)
    if not starts:
        raise NothingKnown(f"the ledger knows no event, decision, retraining, rollout, version or model called {about}")
    graph = Lineage()
    for chain in _connected(walk, starts):
        _draw(graph, chain)
        if chain.version is not None:
            for endpoint in walk.endpoints(chain.version.model):
                _draw_traffic(graph, chain, str(chain.version), endpoint)
    return graph


def _serving(walk: Walk, model: str) -> Iterator[Version]:
    names = (name_of(share) for endpoint in walk.endpoints(model) for share in endpoint.now.shares)
    for found, _, version in (name.rpartition(":") for name in names):
        if found.casefold() == model.casefold():
            yield Version(found, version)


def _connected(walk: Walk, starts: Iterable[Start]) -> Iterator[Chain]:
    """The chains of these records, and then those that their rollouts belong to: a rollout is part of the chain of its
    version, and of the decision that asked for it or ended it.
    """
    waiting = deque(Version(each.model, each.version) if isinstance(each, Rollout) else each for each in starts)
    seen: set[str] = set()
    while waiting:
        chain = walk.chain(waiting.popleft())
        seen |= {str(chain.version), chain.decision.id if chain.decision else ""}
        yield chain
        for rollout in chain.rollouts:
            version = Version(rollout.model, rollout.version)
            decision = walk.decision_named(rollout.request_reason, rollout.reason)
            if decision is not None and decision.id not in seen:
                seen.add(decision.id)
                waiting.append(decision)
            if str(version) not in seen:
                seen.add(str(version))
                waiting.append(version)


def _draw(graph: Lineage, chain: Chain) -> None:
    last = None
    if chain.decision is not None:
        last = graph.add(_decision_node(chain.decision))
    for entry in chain.events:
        event = graph.add(_event_node(entry, *([] if last else [entry.outcome or "waits in the inbox"])))
        if last:
            graph.link(event, last)
    if chain.retraining is not None:
        last = _draw_retraining(graph, chain.retraining, last)
    label = "goes back"
    if chain.version is not None:
        version = graph.add(_version_node(chain.version, registered=chain.retraining is not None))
        if last:
            graph.link(last, version)
        last, label = version, ""
    for rollout in chain.rollouts:
        node = graph.add(_rollout_node(rollout))
        if last:
            graph.link(last, node, label)


def _draw_retraining(graph: Lineage, retraining: Retraining, decision: str | None) -> str:
    """Draw it with its gate and the champion beside; returns the last of its nodes."""
    last = graph.add(_retraining_node(retraining))
    if decision:
        graph.link(decision, last)
    if retraining.gate is not None:
        gate = graph.add(_gate_node(retraining, retraining.gate))
        graph.link(last, gate)
        last = gate
    if retraining.champion_version is not None:
        name = f"{retraining.model}:{retraining.champion_version}"
        if name not in graph.nodes:
            graph.add(LineageNode(name, NodeKind.VERSION, name))
        graph.link(name, last, "compared with", beside=True)
    return last


# --- traffic ----------------------------------------------------------------------------------------------


def _draw_traffic(graph: Lineage, chain: Chain, reference: str, endpoint: EndpointHistory) -> None:
    """Draw each time the version served here, under the rollout that brought it, or under the version itself."""
    brought = {rollout.id for rollout in chain.rollouts}
    for held in _times_held(endpoint.line, reference):
        node = graph.add(_traffic_node(reference, endpoint, held))
        rollout_id = held[0].change.rollout_id
        graph.link(rollout_id if rollout_id in brought else reference, node)


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
    about = f"{entry.event.type.rpartition('.')[2]} {entry.event.subject}"
    return LineageNode(entry.key, NodeKind.EVENT, entry.event.id, (about, *more), entry.event.time)


def _decision_node(decision: DecisionRecord) -> LineageNode:
    title = f"{decision.id} {decision.outcome}"
    details = [str(decision.tree.get("sentence", decision.outcome))]
    if len(decision.covers) > 1:
        details.append(f"covers {len(decision.covers)} events")
    return LineageNode(decision.id, NodeKind.DECISION, title, tuple(details), decision.decided_at)


def _retraining_node(retraining: Retraining) -> LineageNode:
    run = retraining.external_run_id or "not launched"
    details = [f"{retraining.launcher} run {run}, job {retraining.job_name}"]
    if retraining.gate:
        details.append(f"evaluated by {retraining.evaluation_job}")
    if retraining.reason:
        details.append(retraining.reason)
    if retraining.is_adopted:
        details.append("adopted: anew did not start this training, but the policy adopts it")
    title = f"{retraining.id} {retraining.state}"
    return LineageNode(retraining.id, NodeKind.RETRAINING, title, tuple(details), retraining.created_at)


def _gate_node(retraining: Retraining, gate: GateResult) -> LineageNode:
    answer = f"{retraining.approval} by {retraining.approval_by}: {retraining.approval_reason}"
    details = (gate.sentence, *([answer] if retraining.approval else []))
    return LineageNode(f"{retraining.id}/gate", NodeKind.GATE, str(gate.outcome), details)


def _version_node(version: Version, *, registered: bool) -> LineageNode:
    details = () if registered else ("anew did not register it, and does not know what it was trained from",)
    return LineageNode(str(version), NodeKind.VERSION, str(version), details)


def _rollout_node(rollout: Rollout) -> LineageNode:
    verb = "brought back" if rollout.kind is RolloutKind.ROLLBACK else "released"
    title = f"{rollout.id} {verb} to {rollout.place}: {rollout.state}"
    details = tuple(reason for reason in (rollout.request_reason, rollout.reason) if reason)
    return LineageNode(rollout.id, NodeKind.ROLLOUT, title, details, rollout.created_at)
