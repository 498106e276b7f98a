"""Decisions under limits and blocks: what outweighs what, and what holds for every policy and any evidence."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anew.core.decisions.decide import compile_policy, decide
from anew.core.decisions.decision import Decision, Outcome
from anew.core.decisions.explain import from_json, to_json
from anew.core.evidence.history import Attempt, AttemptState, Force, History
from anew.core.evidence.signals import Evidence, Signal
from anew.core.evidence.tree import Verdict
from anew.core.policies.limits import Limits
from anew.core.policies.policy import Policy
from tests.builders import policy
from tests.core.rules.samples import (
    BUDGET,
    COMPOSED,
    EVERY_SPECIMEN,
    HOUR,
    METRICS,
    NOW,
    SPECIMENS,
    history,
    reading,
    readings,
)

OPEN, REGISTERED = AttemptState.OPEN, AttemptState.REGISTERED
FIRES = (reading(0.9, metric="drift_coefficient"),)
FORCE = Force("ada", "new schema")


def decided(
    known: History | None = None, gathered: tuple[Signal, ...] = FIRES, force: Force | None = None, **keys: Any
) -> Decision:
    """What the policy with these keys decides; without any, it retrains."""
    document = policy(**{**keys, "limits": {"cooldown": "0s", **keys.get("limits", {})}})
    return decide(compile_policy(document), Evidence(gathered), known or History(), NOW, force)


_HOLDING: dict[str, tuple[History, dict[str, Any]]] = {
    "cooldown": (history(REGISTERED), {"cooldown": "1h"}),
    "max_retrainings": (history(REGISTERED), {"max_retrainings": {"count": 1, "window": "7d"}}),
    "freeze": (History(), {"freeze": [{"kind": "weekly", "days": ["tue"], "timezone": "UTC", "reason": "no"}]}),
    "in_flight": (history(OPEN), {}),
    "budget": (history(REGISTERED, charge=9), {"budget": BUDGET}),
    "max_concurrent": (History((), 1), {"max_concurrent": 1}),
}


@pytest.mark.parametrize("name", _HOLDING)
def test_limit_holds_and_is_named(name: str) -> None:
    """A limit turns a retrain into a hold, and the decision names that limit."""
    known, keys = _HOLDING[name]
    decision = decided(known, limits=keys)
    assert decided().outcome is Outcome.RETRAIN
    assert decision.outcome is Outcome.HOLD
    [holding] = [each for each in decision.tree.children if each.rule == name]
    assert decision.tree.sentence == f"hold: {holding.sentence}"


@pytest.mark.parametrize("name", _HOLDING)
def test_force_skips_soft_limits_only(name: str) -> None:
    """Force skips cooldown, count and freeze; open retrainings, budget and concurrency still hold."""
    known, keys = _HOLDING[name]
    soft = name in ("cooldown", "max_retrainings", "freeze")
    outcome = decided(known, (), FORCE, limits=keys).outcome
    assert outcome is (Outcome.RETRAIN if soft else Outcome.HOLD)


@pytest.mark.parametrize("name", _HOLDING)
def test_limit_outweighs_unknown_rules(name: str) -> None:
    """A limit that holds outweighs rules without enough evidence."""
    known, keys = _HOLDING[name]
    assert decided(known, (), limits=keys).outcome is Outcome.HOLD


@pytest.mark.parametrize("force", [None, FORCE])
@pytest.mark.parametrize("on_missing", ["insufficient", "hold", "error"])
def test_block_outweighs_everything(force: Force | None, on_missing: str) -> None:
    """A block outweighs rules, force and limits, whatever `on_missing` says."""
    bad = {"block_when": {"kind": "threshold", "metric": "NullValueRate", "above": 0.5}}
    signals = (*FIRES, reading(0.9, metric="null_value_rate"))
    for known, keys in _HOLDING.values():
        decision = decided(known, signals, force, limits=keys, evidence={"on_missing": on_missing}, **bad)
        assert decision.outcome is Outcome.BLOCKED
        assert decision.tree.sentence.startswith("blocked: blocked: null_value_rate 0.9 is above 0.5")


@pytest.mark.parametrize("values", [(), (0.1,), (None,)])
def test_block_without_evidence_does_nothing(values: tuple[float | None, ...]) -> None:
    """A block that is not met, or has no value to judge, does not block."""
    measured = (*FIRES, *(reading(value, metric="null_value_rate") for value in values))
    block = {"kind": "threshold", "metric": "NullValueRate", "above": 0.5}
    assert decided(gathered=measured, block_when=block).outcome is Outcome.RETRAIN


@pytest.mark.parametrize(
    ("on_missing", "expected"),
    [("insufficient", Outcome.INSUFFICIENT), ("hold", Outcome.HOLD), ("error", Outcome.ERROR)],
)
def test_on_missing_sets_outcome(on_missing: str, expected: Outcome) -> None:
    """The `on_missing` option of the policy sets the outcome of missing evidence."""
    assert decided(gathered=(), evidence={"on_missing": on_missing}).outcome is expected


def test_signals_of_few_rows_left_out() -> None:
    """Signals of too few rows are left out and reported; an unknown number of rows counts."""
    by_rows = {
        rows: decided(gathered=(reading(0.9, metric="drift_coefficient", rows=rows),), evidence={"min_rows": 100})
        for rows in (99, 100, None)
    }
    assert [decision.outcome for decision in by_rows.values()] == [
        Outcome.INSUFFICIENT,
        Outcome.RETRAIN,
        Outcome.RETRAIN,
    ]
    assert "computed from fewer than 100 rows" in repr(by_rows[99].tree)


# --- properties of every decision -------------------------------------------------------------------------

_DOCUMENTS = st.recursive(
    st.sampled_from(EVERY_SPECIMEN),
    lambda below: st.one_of(
        st.lists(below, min_size=1, max_size=3).map(lambda rules: {"kind": "all", "rules": rules}),
        st.lists(below, min_size=1, max_size=3).map(lambda rules: {"kind": "any", "rules": rules}),
        below.map(lambda rule: {"kind": "not", "rule": rule}),
    ),
    max_leaves=4,
)
_SIGNALS = st.lists(
    st.builds(
        Signal,
        st.sampled_from(METRICS),
        st.none() | st.floats(0, 1) | st.floats(),
        st.sampled_from(["event", "drift"]),
        st.integers(0, 50).map(lambda hours: NOW - hours * HOUR),
        st.sampled_from([None, "a", "b"]),
        st.none() | st.floats(),
        st.sampled_from([None, "m"]),
        st.none() | st.integers(0, 1000),
        st.none() | st.floats(0, 1) | st.floats(),
        st.none() | st.floats(0, 1) | st.floats(),
    ),
    max_size=8,
).map(tuple)
_ATTEMPTS = st.lists(
    st.builds(
        Attempt,
        st.sampled_from(["r1", "r2"]),
        st.integers(0, 60).map(lambda hours: NOW - hours * HOUR),
        st.sampled_from(AttemptState),
        st.none() | st.floats(0, 5),
    ),
    max_size=4,
).map(lambda attempts: tuple(sorted(attempts, key=lambda each: each.at, reverse=True)))
_HISTORIES = st.builds(History, _ATTEMPTS, st.integers(0, 2))
_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "cooldown": st.sampled_from(["0s", "1h", "7d"]),
        "backoff_after_rejection": st.sampled_from([1.0, 2.0, 10.0]),
        **{name: st.just(keys[name]) for name, (_, keys) in _HOLDING.items() if name not in ("cooldown", "in_flight")},
    },
)
_FORCES = st.none() | st.just(FORCE)
_LIMIT_NAMES = frozenset(_HOLDING)


def _policy(when: dict[str, Any], given_limits: dict[str, Any], block: dict[str, Any] | None, mode: str) -> Policy:
    return policy(when=when, limits=given_limits, block_when=block, mode=mode)


_POLICIES = st.builds(_policy, _DOCUMENTS, _LIMITS, st.none() | _DOCUMENTS, st.sampled_from(["active", "shadow"]))


@given(_POLICIES, _SIGNALS, _HISTORIES, _FORCES)
def test_retrain_passes_limits_and_block(
    document: Policy, signals: tuple[Signal, ...], known: History, force: Force | None
) -> None:
    """A decision to retrain has a root that says yes, passes every limit that applies and has no block."""
    decision = decide(compile_policy(document), Evidence(signals), known, NOW, force)
    assert (decision.outcome is Outcome.RETRAIN) == (decision.tree.verdict is Verdict.YES)
    assert (decision.outcome is Outcome.BLOCKED) == any(
        each.rule == "block_when" and each.verdict is Verdict.NO for each in decision.tree.children
    )
    if decision.outcome is Outcome.RETRAIN:
        hard = {"in_flight", "budget", "max_concurrent"}
        counted = _LIMIT_NAMES if force is None else hard
        assert all(each.verdict is Verdict.YES for each in decision.tree.children if each.rule in counted)
        assert decision.tree.children[0].verdict is Verdict.YES


@given(_POLICIES, _SIGNALS, _HISTORIES, _FORCES)
def test_decisions_repeat_and_survive_json(
    document: Policy, signals: tuple[Signal, ...], known: History, force: Force | None
) -> None:
    """The same inputs give the same decision, and its tree survives strict JSON."""
    compiled = compile_policy(document)
    first = decide(compiled, Evidence(signals), known, NOW, force)
    again = decide(compile_policy(document), Evidence(signals), known, NOW, force)
    stored = json.dumps(to_json(first.tree), allow_nan=False)
    assert stored == json.dumps(to_json(again.tree), allow_nan=False)
    assert from_json(json.loads(stored)) == first.tree
    assert first.outcome is again.outcome


@given(_POLICIES, _LIMITS, _SIGNALS, _HISTORIES, _FORCES)
def test_more_limits_never_start_retraining(
    document: Policy, more: dict[str, Any], signals: tuple[Signal, ...], known: History, force: Force | None
) -> None:
    """Adding limits never starts a retraining and never changes a block."""
    assume(not {"cooldown", "backoff_after_rejection"} & more.keys())
    tighter = document.model_copy(
        update={
            "limits": document.limits.model_copy(
                update={name: getattr(Limits.model_validate(more), name) for name in more}
            )
        }
    )
    before = decide(compile_policy(document), Evidence(signals), known, NOW, force).outcome
    after = decide(compile_policy(tighter), Evidence(signals), known, NOW, force).outcome
    assert after is not Outcome.RETRAIN or before is Outcome.RETRAIN
    assert (after is Outcome.BLOCKED) == (before is Outcome.BLOCKED)


@pytest.mark.parametrize("document", [*EVERY_SPECIMEN, *COMPOSED.values()], ids=lambda each: str(each["kind"]))
def test_every_rule_explains_in_json(document: dict[str, Any]) -> None:
    """Every kind of rule explains itself with a tree that survives strict JSON."""
    signals = [each for metric in METRICS for each in readings(0.9, 0.9, 0.3, metric=metric, monitor="m", feature="a")]
    for gathered in ((), tuple(signals)):
        tree = decide(compile_policy(policy(when=document)), Evidence(gathered), History(), NOW).tree
        assert from_json(json.loads(json.dumps(to_json(tree), allow_nan=False))) == tree
        assert tree.children[0].rule == document["kind"]


@pytest.mark.parametrize("documents", SPECIMENS.values(), ids=SPECIMENS)
def test_shadow_changes_no_outcome(documents: list[dict[str, Any]]) -> None:
    """Shadow mode is marked in the decision and changes no outcome."""
    for document in documents:
        active, shadow = (
            decide(compile_policy(policy(when=document, mode=mode)), Evidence(tuple(readings(0.9))), History(), NOW)
            for mode in ("active", "shadow")
        )
        assert (active.outcome, active.shadow, shadow.shadow) == (shadow.outcome, False, True)
        assert "(shadow: nothing is started)" in shadow.tree.sentence
