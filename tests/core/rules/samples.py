"""One rule of each kind, and short ways to say signals and to judge them, for tests of the policy language."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from pydantic import TypeAdapter

from anew.core.base.metrics import MONITOR_FAILED
from anew.core.evidence.facts import arrange
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict
from anew.core.rules.rule import Rule, compile_rule

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BUDGET = {"unit": "EUR", "limit": 10, "window": "30d", "per_retraining": 3}
_RULE: TypeAdapter[Rule] = TypeAdapter(Rule)

SPECIMENS: dict[str, list[dict[str, Any]]] = {
    "threshold": [
        {"kind": "threshold", "metric": "psi", "above": 0.2},
        {"kind": "threshold", "metric": "accuracy", "below": 0.8},
        {"kind": "threshold", "metric": "psi", "worse_than": 0.2, "clears_at": 0.1},
        {"kind": "threshold", "metric": "psi", "above": 0.2, "over": {"kind": "share", "at_least": 0.5}},
        {"kind": "threshold", "metric": "psi", "above": 0.2, "over": {"kind": "weighted", "weights": {"a": 1, "b": 2}}},
    ],
    "monitor_breach": [{"kind": "monitor_breach"}, {"kind": "monitor_breach", "signal": "m"}],
    "monitor_failed": [{"kind": "monitor_failed"}],
    "k_of_n": [
        {"kind": "k_of_n", "k": 2, "n": 3, "of": {"kind": "threshold", "metric": "psi", "above": 0.2}},
        {"kind": "k_of_n", "k": 2, "n": 3, "of": {"kind": "monitor_breach"}},
    ],
    "cusum": [{"kind": "cusum", "metric": "psi", "target": 0.1, "slack": 0.05, "limit": 0.3}],
    "performance_drop": [
        {"kind": "performance_drop", "drop": 0.05},
        {"kind": "performance_drop", "drop": 0.05, "baseline": 0.9},
    ],
    "gain_cusum": [{"kind": "gain_cusum"}],
    "adaptive_gain_cusum": [{"kind": "adaptive_gain_cusum"}],
    "cel": [
        {"kind": "cel", "expr": "x > 0.2", "variables": {"x": {"metric": "psi"}}},
        {"kind": "cel", "expr": "x > 0.2", "variables": {"x": {"metric": "psi", "aggregate": "mean"}}},
        {"kind": "cel", "expr": "x < 0.8", "variables": {"x": {"metric": "accuracy", "aggregate": "min"}}},
    ],
}
COMPOSED: dict[str, dict[str, Any]] = {
    "all": {"kind": "all", "rules": [SPECIMENS["threshold"][0]]},
    "any": {"kind": "any", "rules": [SPECIMENS["cusum"][0], SPECIMENS["cel"][0]]},
    "not": {"kind": "not", "rule": SPECIMENS["threshold"][0]},
}
EVERY_SPECIMEN = [document for documents in SPECIMENS.values() for document in documents]
KINDS = [get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(Rule)[0])]
GAINS = ("gain", "gain_ageing", "anticipated_gain", "gain_error", "pending_batches")
METRICS = ("psi", "accuracy", *GAINS, MONITOR_FAILED)


def rule(kind: str, **keys: Any) -> Rule:
    """A rule, written as in a policy."""
    return _RULE.validate_python({"kind": kind, **keys})


def rule_of(document: dict[str, Any]) -> Rule:
    """The rule of a document."""
    return _RULE.validate_python(document)


def reading(value: float | None, at: datetime = NOW, metric: str = "psi", **more: Any) -> Signal:
    """One measured value."""
    return Signal(metric, value, more.pop("source", "monitor_history"), at, **more)


def readings(*values: float | None, metric: str = "psi", **more: Any) -> list[Signal]:
    """A series, an hour between readings, the newest just now."""
    first = NOW - (len(values) - 1) * HOUR
    return [reading(value, first + index * HOUR, metric, **more) for index, value in enumerate(values)]


def retrained(at: datetime, state: AttemptState = AttemptState.REGISTERED) -> History:
    """A history of one retraining."""
    return History((Attempt("r1", at, state),))


def history(*states: AttemptState, every: timedelta = DAY, charge: float | None = 1.0) -> History:
    """Retrainings that ended like this, the newest first and just now."""
    return History(tuple(Attempt(f"r{i}", NOW - i * every, state, charge) for i, state in enumerate(states)))


def judge(of: Rule, signals: list[Signal], history: History | None = None, cost: float = 0.1) -> Node:
    """What the rule says of these signals."""
    return compile_rule(of, cost)(arrange(signals, history or History(), NOW))


def verdict(of: Rule, signals: list[Signal], history: History | None = None, cost: float = 0.1) -> Verdict:
    """The verdict alone."""
    return judge(of, signals, history, cost).verdict
