"""The policy language: what each kind of rule, limit and source refuses, and how it says so."""

import json
from typing import Any

import pytest

from anew.core.base.metrics import canonical_metric
from anew.core.policies.limits import FreezeWeekly
from anew.core.policies.policy import Policy
from anew.core.policies.text import read_policies
from anew.core.rules.rule import needs_of
from anew.errors import InvalidPolicy
from tests.core.rules.samples import COMPOSED, EVERY_SPECIMEN, rule_of

_HEAD = """\
apiVersion: anew/v1
model: elec2
monitors: [elec2-drift]
retrain: {launcher: {kind: adf, pipeline: p}}
evaluate: {job: e.yml}
"""
_WHEN = _HEAD + "when: "
_LIMITS = _HEAD + "when: {kind: monitor_breach}\nlimits:\n  "
_EVIDENCE = _HEAD + "when: {kind: monitor_breach}\nevidence:\n  "
_THRESHOLD = "{kind: threshold, metric: psi, above: 0.2}"


def policies(text: str) -> list[Policy]:
    return [each.policy for each in read_policies(text, "p.yaml")]


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        policies(text)
    return caught.value.problems


def when(rule: str) -> str:
    [problem] = problems(_WHEN + rule)
    return problem.removeprefix("p.yaml:6: ")


# --- rules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{kind: threshold, metric: psi}", "when: give exactly one of 'above', 'below' and 'worse_than'"),
        (
            "{kind: threshold, metric: psi, above: 1, worse_than: 1}",
            "when: give exactly one of 'above', 'below' and 'worse_than'",
        ),
        (
            "{kind: threshold, metric: accuracy, above: 0.8}",
            "when: accuracy gets worse as it falls: use 'below' or 'worse_than', not 'above'",
        ),
        (
            "{kind: threshold, metric: two_sample_kolmogorov_smirnov_test, above: 0.05}",
            "when: two_sample_kolmogorov_smirnov_test gets worse as it falls: use 'below' or 'worse_than', not 'above'",
        ),
        (
            "{kind: threshold, metric: PSI, below: 0.2}",
            "when: PSI gets worse as it rises: use 'above' or 'worse_than', not 'below'",
        ),
        ("{kind: threshold, metric: '', above: 1}", "when.metric: must not be empty"),
        ("{kind: threshold, metric: psi, above: yes}", "when.above: must be a valid number, not True"),
        ("{kind: threshold, metric: psi, above: .inf}", "when.above: must be a finite number, not .inf"),
        (
            "{kind: threshold, metric: psi, above: 0.2, clears_at: 0.3}",
            "when: 'clears_at' must be on the good side: below 0.2",
        ),
        (
            "{kind: threshold, metric: accuracy, worse_than: 0.7, clears_at: 0.6}",
            "when: 'clears_at' must be on the good side: above 0.7",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, clears_at: 0.1, over: {kind: share, at_least: 0.5}}",
            "when: 'clears_at' is for one series: it does not go with 'over'",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, feature: a, over: {kind: share, at_least: 0.5}}",
            "when: give 'feature' or 'over', not both",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, over: {kind: share, at_least: 0}}",
            "when.over.at_least: must be greater than 0, not 0",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, over: {kind: share, at_least: 1.5}}",
            "when.over.at_least: must be less than or equal to 1, not 1.5",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, over: {kind: most}}",
            "when.over.kind: 'most' is not known; allowed: share, weighted",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, over: {kind: weighted, weights: {}}}",
            "when.over.weights: must not be empty",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, over: {kind: weighted, weights: {a: -1}}}",
            "when.over.weights.a: must be greater than 0, not -1",
        ),
        (
            "{kind: threshold, metric: psi, above: 0.2, over: {kind: share, atleast: 1, at_least: 1}}",
            "when.over.atleast: 'atleast' is not known; allowed: kind, at_least; did you mean 'at_least'?",
        ),
        ("{kind: monitor_breach, metric: psi}", "when.metric: 'metric' is not known; allowed: kind, signal"),
        ("{kind: monitor_failed, signal: x}", "when.signal: 'signal' is not known; allowed: kind"),
        (f"{{kind: k_of_n, k: 4, n: 3, of: {_THRESHOLD}}}", "when: 'k' must be at most 'n': 4 of 3 cannot be"),
        (f"{{kind: k_of_n, k: 0, n: 3, of: {_THRESHOLD}}}", "when.k: must be greater than or equal to 1, not 0"),
        (f"{{kind: k_of_n, k: 1.5, n: 3, of: {_THRESHOLD}}}", "when.k: must be a whole number, not 1.5"),
        (f"{{kind: k_of_n, k: 1, of: {_THRESHOLD}}}", "when.n: is required"),
        (
            "{kind: k_of_n, k: 1, n: 3, of: {kind: cusum, metric: psi, target: 0, limit: 1}}",
            "when.of.kind: 'cusum' is not known; allowed: threshold, monitor_breach",
        ),
        (
            "{kind: k_of_n, k: 1, n: 3, of: {kind: threshold, metric: accuracy, above: 1}}",
            "when.of: accuracy gets worse as it falls: use 'below' or 'worse_than', not 'above'",
        ),
        (
            "{kind: cusum, metric: accuracy, target: 0.9, limit: 1, worse: above}",
            "when: accuracy gets worse as it falls: use 'below' or 'worse_than', not 'above'",
        ),
        (
            "{kind: cusum, metric: psi, target: 0.1, limit: 1, worse: up}",
            "when.worse: must be 'above' or 'below', not 'up'",
        ),
        ("{kind: cusum, metric: psi, target: 0.1, limit: 0}", "when.limit: must be greater than 0, not 0"),
        (
            "{kind: cusum, metric: psi, target: 0.1, limit: 1, slack: -1}",
            "when.slack: must be greater than or equal to 0, not -1",
        ),
        ("{kind: cusum, metric: psi, limit: 1}", "when.target: is required"),
        ("{kind: performance_drop, drop: 0}", "when.drop: must be greater than 0, not 0"),
        ("{kind: performance_drop, drop: 1, confidence: 1}", "when.confidence: must be less than 1, not 1"),
        (
            "{kind: performance_drop, drop: 1, label_delay: 7}",
            "when.label_delay: must be a duration with its unit, such as 90s, 30m, 24h, 7d, PT1H or P30D",
        ),
        ("{kind: gain_cusum, cost: 0}", "when.cost: must be greater than 0, not 0"),
        ("{kind: cel, expr: 'x > 1.0'}", "when: is not a CEL expression: at 1:1: undeclared reference to 'x'"),
        ("{kind: cel, expr: '1.0'}", "when: must be a bool, and is double"),
        ("{kind: cel, expr: 'true', variables: {x: {}}}", "when.variables.x.metric: is required"),
        (
            "{kind: cel, expr: 'true', variables: {x: {metric: psi, aggregate: sum}}}",
            "when.variables.x.aggregate: 'sum' is not known; allowed: max, min, mean",
        ),
        ("{kind: all, rules: []}", "when.rules: must not be empty"),
        ("{kind: any}", "when.rules: is required"),
        ("{kind: not, rule: [1]}", "when.rule: must be a mapping, not [1]"),
        ("{kind: not, rules: [1]}", "when.rule: is required"),
    ],
)
def test_invalid_rule_is_refused(rule: str, expected: str) -> None:
    """A rule that makes no sense is refused with its line, path and reason."""
    assert any(problem.removeprefix("p.yaml:6: ").startswith(expected) for problem in problems(_WHEN + rule))


@pytest.mark.parametrize(
    "rule",
    [
        "{kind: threshold, metric: their_own, worse_than: 1}",
        "{kind: threshold, metric: their_own, worse_than: 1, clears_at: 0}",
        "{kind: cusum, metric: their_own, target: 0, limit: 1}",
        "{kind: performance_drop, metric: their_own, drop: 1}",
    ],
)
def test_unknown_metric_needs_direction(rule: str) -> None:
    """A metric unknown to anew needs a direction."""
    said = when(rule)
    assert said.startswith("when: which way 'their_own' gets worse is not known: use 'above' or 'below'; known: ")


@pytest.mark.parametrize("spelling", ["psi", "PSI", "PopulationStabilityIndex", "population_stability_index"])
def test_metric_spellings_share_direction(spelling: str) -> None:
    """A metric has one direction in all its spellings."""
    assert policies(_WHEN + f"{{kind: threshold, metric: {spelling}, worse_than: 0.2}}")
    assert "gets worse as it rises" in when(f"{{kind: threshold, metric: {spelling}, below: 0.2}}")


def test_clears_at_may_equal_limit() -> None:
    """`clears_at` may equal the limit."""
    assert policies(_WHEN + "{kind: threshold, metric: psi, above: 0.2, clears_at: 0.2}")


@pytest.mark.parametrize("document", [*EVERY_SPECIMEN, *COMPOSED.values()], ids=lambda each: str(each["kind"]))
def test_rule_survives_yaml_and_json(document: dict[str, Any]) -> None:
    """Every rule survives YAML and its own JSON."""
    [policy] = policies(_HEAD + f"when: {json.dumps(document)}\nblock_when: {json.dumps(document)}\n")
    assert policy.when == policy.block_when == rule_of(document)
    assert Policy.model_validate_json(policy.model_dump_json(by_alias=True), strict=True) == policy


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"kind": "any", "rules": [*EVERY_SPECIMEN]}, {"psi", "accuracy", "gain"}),
        ({"kind": "not", "rule": {"kind": "monitor_breach"}}, set[str]()),
    ],
)
def test_metrics_of_a_rule(document: dict[str, Any], expected: set[str]) -> None:
    """The metrics that a rule needs are known in one spelling."""
    assert needs_of(rule_of(document)).metrics == {canonical_metric(name) for name in expected}


# --- limits and evidence ----------------------------------------------------------------------------------

_FREEZE = "freeze: [{kind: dates, from: FROM, to: TO, timezone: UTC, reason: x}]"


def freeze(begin: str, end: str) -> str:
    return _FREEZE.replace("FROM", begin).replace("TO", end)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (freeze("2026-02-30", "2026-03-01"), "freeze[0].from: must be a local date, or date and time, that exists"),
        (freeze("2026-13-01", "2027-01-01"), "freeze[0].from: must be a local date, or date and time, that exists"),
        (freeze("2026-02-29", "2026-03-01"), "freeze[0].from: must be a local date, or date and time, that exists"),
        (freeze("2026-01-01T25:00", "2026-03-01"), "freeze[0].from: must be a local date"),
        (freeze("2026-01-01", "'2026-01-02T00:00+01:00'"), "freeze[0].to: must be a local date"),
        (freeze("2026-01-01", "20260102"), "freeze[0].to: must be a local date"),
        (freeze("2026-01-02", "2026-01-01"), "freeze[0]: 'to' must be later than 'from'"),
        (freeze("2026-01-01", "2026-01-01"), "freeze[0]: 'to' must be later than 'from'"),
        (
            "freeze: [{kind: dates, from: 2026-01-01, to: 2026-01-02, timezone: CET+1, reason: x}]",
            "freeze[0].timezone: 'CET+1' is no time zone; use a name such as UTC or Europe/Stockholm",
        ),
        (
            "freeze: [{kind: dates, from: 2026-01-01, to: 2026-01-02, timezone: ../etc/passwd, reason: x}]",
            "freeze[0].timezone: '../etc/passwd' is no time zone",
        ),
        ("freeze: [{kind: dates, from: 2026-01-01, to: 2026-01-02, reason: x}]", "freeze[0].timezone: is required"),
        (
            "freeze: [{kind: weekly, days: [friday], timezone: UTC, reason: x}]",
            "freeze[0].days[0]: 'friday' is not known; allowed: mon, tue, wed, thu, fri, sat, sun; did you mean 'fri'?",
        ),
        ("freeze: [{kind: weekly, days: [], timezone: UTC, reason: x}]", "freeze[0].days: must not be empty"),
        (
            "freeze: [{kind: weekly, days: [fri], from: 18:00, timezone: UTC, reason: x}]",
            "freeze[0].from: must be a time of day in quotes, such as '08:00' or '24:00'",
        ),
        ("freeze: [{kind: weekly, days: [fri], timezone: UTC}]", "freeze[0].reason: is required"),
        ("freeze: [{kind: monthly}]", "freeze[0].kind: 'monthly' is not known; allowed: dates, weekly"),
        ("freeze: {kind: weekly}", "freeze: must be a list, not a mapping"),
        ("cooldown: 24", "cooldown: must be a duration with its unit"),
        ("backoff_after_rejection: 0.5", "backoff_after_rejection: must be greater than or equal to 1, not 0.5"),
        ("max_retrainings: {count: 0, window: 7d}", "max_retrainings.count: must be greater than or equal to 1, not 0"),
        ("max_retrainings: 3", "max_retrainings: must be a mapping, not 3"),
        ("max_concurrent: 0", "max_concurrent: must be greater than or equal to 1, not 0"),
        (
            "budget: {unit: EUR, limit: 10, window: 30d, per_retraining: 11}",
            "budget: 'per_retraining' 11 is over 'limit' 10: none could start",
        ),
        ("budget: {unit: EUR, limit: 10, window: 30d}", "budget.per_retraining: is required"),
        ("budget: {unit: EUR, limit: .nan, window: 30d, per_retraining: 1}", "budget.limit: must be a finite number"),
    ],
)
def test_invalid_limit_is_refused(keys: str, expected: str) -> None:
    """A limit that makes no sense is refused with its line, path and reason."""
    said = problems(_LIMITS + keys)
    assert any(problem.startswith(f"p.yaml:8: limits.{expected}") for problem in said), said


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("on_missing: retrain", "on_missing: 'retrain' is not known; allowed: insufficient, hold, error"),
        ("min_rows: -1", "min_rows: must be greater than or equal to 0, not -1"),
        ("max_age: P1M", "max_age: must be a duration with its unit"),
        ("max_age: 9999999d", "max_age: must be a duration between 0s and P3650D"),
        ("queries: []", "queries: 'queries' is not known; allowed: sources, max_age, min_rows, coalesce, on_missing"),
        (
            "sources: [{kind: sql}]",
            "sources[0].kind: 'sql' is not known; allowed: log_analytics, monitor_history, drift",
        ),
        ("sources: [{kind: log_analytics}]", "sources[0].query: is required"),
        ("sources: [{kind: drift, reference: a, window: b, metrics: []}]", "sources[0].metrics: must not be empty"),
        (
            "sources: [{kind: drift, reference: a, window: b, window_rows: 0}]",
            "sources[0].window_rows: must be greater",
        ),
        (
            "sources: [{kind: drift, reference: a, window: b, metrics: [psi]}]",
            "sources[0].metrics[0]: 'psi' is not known",
        ),
    ],
)
def test_invalid_evidence_is_refused(keys: str, expected: str) -> None:
    """Evidence that makes no sense is refused with its line, path and reason."""
    said = problems(_EVIDENCE + keys)
    assert any(problem.startswith(f"p.yaml:8: evidence.{expected}") for problem in said), said


def test_freeze_without_times() -> None:
    """A weekly freeze without times covers whole days."""
    [policy] = policies(_LIMITS + "freeze: [{kind: weekly, days: [sat], timezone: UTC, reason: x}]")
    [frozen] = policy.limits.freeze
    assert isinstance(frozen, FreezeWeekly)
    assert (frozen.from_.hour, frozen.to.hour) == (0, 0)
