"""Which version served when, and the chain of any id both ways, with the limits of what the ledger knows."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from anew.core.history.graph import Lineage, NodeKind, mermaid
from anew.core.rollouts.lifecycle import RolloutKind, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.core.rollouts.traffic import TrafficChange
from anew.core.rollouts.traffic_history import split_words
from anew.engine.history.chain import Chain, Walk
from anew.engine.history.lineage import lineage
from anew.engine.history.traffic import EndpointHistory
from anew.engine.serving.external_changes import OUTSIDE_ANEW
from anew.errors import NothingKnown
from tests.builders import ENDPOINT, MODEL, Play, deploy_rule, drift_event, fresh_ledger, policy, serve, stage
from tests.contract.rows import record, retraining, rollout

PLACE = f"online/{ENDPOINT}"


@dataclass(frozen=True)
class Played:
    """3 served; drift trained 4, which took all traffic; drift sent it back; a person switched everything off."""

    play: Play
    seen_first: datetime
    shared: datetime
    full: datetime
    back: datetime
    off: datetime

    @property
    def endpoint(self) -> EndpointHistory:
        [endpoint] = Walk(self.play.ledger).endpoints(MODEL)
        return endpoint

    def served(self, at: datetime) -> str | None:
        period = self.endpoint.at(at)
        return None if period is None else split_words(period.change)


@pytest.fixture(scope="module")
def played() -> Played:
    play = Play().with_policies(
        policy(
            limits={"cooldown": "0s", "prefer_rollback": "6h"},
            deploy=[deploy_rule(bake="6h", steps=[stage(mirror=20, wait="10m"), stage(20, wait="1h"), stage(100)])],
        )
    )
    serve(play.azure, "3")
    play.tick()
    seen_first = play.now
    play.receive(drift_event("first", at=play.now))
    shared = until(play, {deployment_name(MODEL, "3"): 80, deployment_name(MODEL, "4"): 20})
    full = until(play, {deployment_name(MODEL, "4"): 100})
    play.tick(hours=1)
    play.receive(drift_event("second", at=play.now))
    back = until(play, {deployment_name(MODEL, "3"): 100})
    play.tick(hours=1)
    play.azure.endpoints[ENDPOINT].traffic = {}
    play.tick()
    return Played(play, seen_first, shared, full, back, play.now)


def until(play: Play, traffic: dict[str, int]) -> datetime:
    def shows() -> bool:
        return {name: share for name, share in play.azure.endpoints[ENDPOINT].traffic.items() if share} == traffic

    play.tick_until(shows, at_most=100)
    return play.now


# --- history ----------------------------------------------------------------------------------------------


def test_moment_shows_its_traffic(played: Played) -> None:
    """The history gives the versions and shares that served at any moment."""
    minute = timedelta(minutes=1)

    assert played.served(played.seen_first) == "price:3 100 %"
    assert played.served(played.shared - minute / 2) == "price:3 100 %, price:4 mirrored 20 %"
    assert played.served(played.shared) == "price:3 80 %, price:4 20 %"
    assert played.served(played.full - minute / 2) == "price:3 80 %, price:4 20 %"
    assert played.served(played.full) == "price:4 100 %"
    assert played.served(played.back) == "price:3 100 %"
    assert played.served(played.off) == "no traffic"
    assert played.served(played.off + timedelta(days=1)) == "no traffic"


def test_no_history_before_first_change(played: Played) -> None:
    """Before the first change the history knows no traffic."""
    assert played.served(played.seen_first - timedelta(seconds=1)) is None


def test_period_has_start_and_end(played: Played) -> None:
    """A period of traffic has the times of the changes that begin and end it."""
    period = played.endpoint.at(played.full + timedelta(minutes=1))

    assert period is not None
    assert (period.since, period.until) == (played.full, played.back)


def test_release_leads_to_its_event(played: Played) -> None:
    """The traffic change of a release leads back to the event that caused it."""
    chain = chain_at(played, played.full)

    assert chain.retraining is not None
    assert chain.decision is not None
    assert ([each.version for each in chain.rollouts], chain.retraining.new_version) == (["4"], "4")
    assert chain.decision.outcome == "retrain"
    assert [entry.event.run_id for entry in chain.events] == ["first"]


def test_rollback_leads_to_its_event(played: Played) -> None:
    """The traffic change of a rollback leads back to the event that caused it."""
    chain = chain_at(played, played.back)

    assert chain.decision is not None
    assert chain.decision.outcome == "roll_back"
    assert [entry.event.run_id for entry in chain.events] == ["second"]


def test_outside_change_has_no_chain(played: Played) -> None:
    """A traffic change from outside `anew` is marked as such and has no chain."""
    assert change_at(played, played.off).actor == OUTSIDE_ANEW
    assert chain_at(played, played.off) == Chain()


def test_each_endpoint_has_its_history() -> None:
    """Each endpoint of a model has its own history, and other endpoints have none."""
    play = Play().with_policies(policy(deploy=[deploy_rule(), deploy_rule("price-other")]))
    serve(play.azure, "3")
    serve(play.azure, "2", endpoint="price-other")
    serve(play.azure, "7", model="another", endpoint="not-ours")
    play.tick()

    assert [(each.place, split_words(each.now)) for each in Walk(play.ledger).endpoints(MODEL)] == [
        ("online/price-online", "price:3 100 %"),
        ("online/price-other", "price:2 100 %"),
    ]


def test_model_without_traffic(played: Played) -> None:
    """A model without traffic has no endpoints in the history."""
    assert Walk(played.play.ledger).endpoints("another") == ()


def change_at(played: Played, moment: datetime) -> TrafficChange:
    period = played.endpoint.at(moment)
    assert period is not None
    return period.change


def chain_at(played: Played, moment: datetime) -> Chain:
    return Walk(played.play.ledger).chain(change_at(played, moment))


# --- lineage ----------------------------------------------------------------------------------------------


def kinds(graph: Lineage) -> dict[str, NodeKind]:
    return {node.id: node.kind for node in graph.nodes.values()}


def causes(graph: Lineage, node_id: str) -> set[str]:
    """Everything that led to it."""
    found: set[str] = set()
    front = [node_id]
    while front:
        here = front.pop()
        above = [edge.source for edge in graph.edges if edge.target == here and not edge.beside]
        front += [each for each in above if each not in found]
        found |= set(above)
    return found


@pytest.mark.parametrize("about", ["event", "key", "decision", "retraining", "run", "rollout", "version"])
def test_any_id_draws_the_chain(played: Played, about: str) -> None:
    """Any id of a chain draws it from the event to the traffic."""
    play = played.play
    retraining, rollout = play.retraining, play.rollout
    event = drift_event("first")
    name = {
        "event": event.id,
        "key": event.key,
        "decision": retraining.decision_id,
        "retraining": retraining.id,
        "run": retraining.external_run_id or "",
        "rollout": rollout.id,
        "version": f"{MODEL}:4",
    }[about]

    graph = lineage(play.ledger, name)

    [traffic] = [node for node in graph.nodes.values() if node.kind is NodeKind.TRAFFIC and "100 %" in node.title]
    chain = {event.key, retraining.decision_id, retraining.id, f"{retraining.id}/gate", f"{MODEL}:4", rollout.id}
    assert chain <= causes(graph, traffic.id)
    assert f"then price:3 100 % ({rollout.id})" in traffic.details[0]


def test_rollback_decision_leads_to_rollout(played: Played) -> None:
    """The decision to roll back leads to the rollout, not to the version."""
    graph = lineage(played.play.ledger, f"{MODEL}:4")

    assert drift_event("second").key in causes(graph, played.play.rollout.id)
    assert drift_event("second").key not in causes(graph, f"{MODEL}:4"), "it did not cause the version"


def test_champion_is_no_cause(played: Played) -> None:
    """The champion stands beside the gate and is no cause of the new version."""
    graph = lineage(played.play.ledger, f"{MODEL}:4")

    [(label, champion)] = graph.beside(f"{played.play.retraining.id}/gate")
    assert (label, champion.id) == ("compared with", f"{MODEL}:3")
    assert champion.id not in causes(graph, f"{MODEL}:4")


def test_foreign_version_has_unknown_origin(played: Played) -> None:
    """A version from outside `anew` says that its origin is unknown."""
    graph = lineage(played.play.ledger, f"{MODEL}:3")

    assert "does not know what it was trained from" in graph.nodes[f"{MODEL}:3"].details[0]
    served = [node.title for _, node in graph.led_to(f"{MODEL}:3")]
    assert served == [f"served up to 100 % of {PLACE}"] * 2


def test_model_draws_current_traffic() -> None:
    """The graph of a model shows what serves now and the event behind it."""
    play = Play()
    serve(play.azure, "3")
    play.receive(drift_event())
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))

    graph = lineage(play.ledger, MODEL)

    assert any(node.title == f"serves 100 % of {PLACE}" for node in graph.nodes.values())
    assert kinds(graph)[drift_event().key] is NodeKind.EVENT


def test_restored_version_follows_its_rollback(played: Played) -> None:
    """The traffic of a restored version follows from its rollback."""
    play = Play().with_policies(policy(limits={"cooldown": "0s", "prefer_rollback": "6h"}))
    serve(play.azure, "3")
    play.tick()
    play.receive(drift_event("first", at=play.now))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))
    play.receive(drift_event("second", at=play.now))
    play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == 2)
    [rollback] = [each for each in play.ledger.rollouts() if each.kind is RolloutKind.ROLLBACK]

    graph = lineage(play.ledger, rollback.id)

    assert drift_event("second").key in causes(graph, rollback.id)
    assert [node.title for _, node in graph.led_to(rollback.id)] == [f"serves 100 % of {PLACE}"]


def test_decision_with_two_rollouts() -> None:
    """A decision that aborts a release here and brings the champion back there leads to both rollouts."""
    ledger, decided = fresh_ledger(), replace(record("0123456789ab"), leaves_version="4")
    trained = replace(retraining("0123456789ab"), new_version="4", champion_version="3")
    ledger.record_decision(decided, trained, "test")
    back = replace(record("ba9876543210"), retraining_id=None, outcome="roll_back", leaves_version="4")
    ledger.record_decision(back, None, "test")
    reason = f"{back.id}: it drifts"
    aborted = replace(rollout("4"), reason=reason, retraining_id=trained.id)
    brought_back = replace(rollout("3"), endpoint="other", kind=RolloutKind.ROLLBACK, request_reason=reason)
    for each in (aborted, brought_back):
        ledger.add_rollout(each, "test")

    graph = lineage(ledger, back.id)

    assert {node.id for _, node in graph.led_to(back.id)} == {aborted.id, brought_back.id}
    assert [node.id for _, node in graph.beside(trained.id)] == ["price:3"]
    assert [node.id for _, node in graph.led_to("price:3")] == [brought_back.id]


def test_event_without_effect_shows_outcome() -> None:
    """An event that led to nothing shows its outcome."""
    play = Play()
    play.receive(drift_event(monitor="nobody-watches"))
    play.tick()

    [node] = lineage(play.ledger, drift_event(monitor="nobody-watches").id).nodes.values()

    assert node.details[-1] == "not decided: no policy watches nobody-watches"


@pytest.mark.parametrize("about", ["nothing", "price:99", ":", "another:1"])
def test_unknown_name_is_reported(played: Played, about: str) -> None:
    """A name that the ledger does not know is an error that repeats the name."""
    with pytest.raises(NothingKnown, match=about):
        lineage(played.play.ledger, about)


def test_graph_is_closed(played: Played) -> None:
    """Every edge of the graph joins two of its nodes, and the graph has a root."""
    graph = lineage(played.play.ledger, f"{MODEL}:4")

    assert all(edge.source in graph.nodes and edge.target in graph.nodes for edge in graph.edges)
    assert graph.roots()


def test_mermaid_draws_every_node_and_edge(played: Played) -> None:
    """The Mermaid text has one line for each node and edge, and no stray quotation marks."""
    graph = lineage(played.play.ledger, f"{MODEL}:4")
    drawn = mermaid(graph).splitlines()

    assert drawn[0] == "flowchart LR"
    assert len(drawn) == 1 + len(graph.nodes) + len(graph.edges)
    assert all(line.count('"') in (0, 2) for line in drawn)
