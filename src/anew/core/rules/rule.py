"""Every kind of rule, `all`, `any` and `not` over them, and the function that judges each.

Judging is three-valued (Kleene) with errors beside: a rule without values, or whose evaluation failed, never retrains
a model. Rules about several readings begin anew when a new version is trained.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal, NamedTuple, assert_never

from pydantic import Field

from anew.core.base.document import Document
from anew.core.base.metrics import canonical_metric
from anew.core.evidence.facts import Facts
from anew.core.evidence.tree import Node, Verdict, all_of, any_of
from anew.core.gain.signals import GAIN
from anew.core.rules.adaptive_gain_cusum import AdaptiveGainCusum, judge_adaptive_gain_cusum
from anew.core.rules.cel import Cel, judge_cel
from anew.core.rules.cusum import Cusum, GainCusum, judge_cusum, judge_gain_cusum
from anew.core.rules.k_of_n import KOfN, judge_k_of_n
from anew.core.rules.monitors import MonitorBreach, MonitorFailed, judge_monitor_breach, judge_monitor_failed
from anew.core.rules.performance_drop import PerformanceDrop, judge_performance_drop
from anew.core.rules.threshold import Threshold, judge_threshold


class AllOf(Document):
    """Every rule fires."""

    kind: Literal["all"]
    rules: tuple["Rule", ...] = Field(min_length=1)


class AnyOf(Document):
    """At least one rule fires."""

    kind: Literal["any"]
    rules: tuple["Rule", ...] = Field(min_length=1)


class Not(Document):
    """The rule does not fire."""

    kind: Literal["not"]
    rule: "Rule"


Rule = Annotated[
    Threshold
    | MonitorBreach
    | MonitorFailed
    | KOfN
    | Cusum
    | PerformanceDrop
    | GainCusum
    | AdaptiveGainCusum
    | Cel
    | AllOf
    | AnyOf
    | Not,
    Field(discriminator="kind"),
]
Judge = Callable[[Facts], Node]


def compile_rule(rule: Rule, cost: float) -> Judge:  # noqa: C901, PLR0911, PLR0912 - one case for each kind
    """The function that judges this rule. `cost` of a retraining is the default of the rules that weigh it."""
    match rule:
        case Threshold():
            return partial(judge_threshold, rule)
        case MonitorBreach():
            return partial(judge_monitor_breach, rule)
        case MonitorFailed():
            return partial(judge_monitor_failed, rule)
        case KOfN():
            return partial(judge_k_of_n, rule, compile_rule(rule.of, cost))
        case Cusum():
            return partial(judge_cusum, rule)
        case PerformanceDrop():
            return partial(judge_performance_drop, rule)
        case GainCusum():
            return partial(judge_gain_cusum, rule, rule.cost or cost)
        case AdaptiveGainCusum():
            return partial(judge_adaptive_gain_cusum, rule, rule.cost or cost)
        case Cel():
            return partial(judge_cel, rule)
        case AllOf():
            return partial(_judge_all, tuple(compile_rule(below, cost) for below in rule.rules))
        case AnyOf():
            return partial(_judge_any, tuple(compile_rule(below, cost) for below in rule.rules))
        case Not():
            return partial(_judge_not, compile_rule(rule.rule, cost))
        case _:
            assert_never(rule)


def _judge_all(judges: tuple[Judge, ...], facts: Facts) -> Node:
    children = tuple(judge(facts) for judge in judges)
    verdict = all_of(child.verdict for child in children)
    return _combined("all", verdict, {Verdict.YES: "every rule fires", Verdict.NO: "not every rule fires"}, children)


def _judge_any(judges: tuple[Judge, ...], facts: Facts) -> Node:
    children = tuple(judge(facts) for judge in judges)
    verdict = any_of(child.verdict for child in children)
    return _combined("any", verdict, {Verdict.YES: "a rule fires", Verdict.NO: "no rule fires"}, children)


def _combined(rule: str, verdict: Verdict, sentences: Mapping[Verdict, str], children: tuple[Node, ...]) -> Node:
    result = {Verdict.UNKNOWN: "cannot tell", Verdict.ERROR: "a rule failed", **sentences}[verdict]
    deciding = "; ".join(child.sentence for child in children if child.verdict is verdict)
    return Node(rule, verdict, f"{result}: {deciding}", children=children)


def _judge_not(judge: Judge, facts: Facts) -> Node:
    child = judge(facts)
    verdict = {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES}.get(child.verdict, child.verdict)
    return Node("not", verdict, f"the opposite of: {child.sentence}", children=(child,))


# --- what rules need --------------------------------------------------------------------------------------


class Needs(NamedTuple):
    """What rules need in order to be judged: `metrics` by their canonical names, and the reports of `monitors` (None
    stands for any of the policy's); whether they need readings before the newest, and the cost of a retraining.
    """

    metrics: frozenset[str] = frozenset()
    monitors: frozenset[str | None] = frozenset()
    past_readings: bool = False
    cost: bool = False


def needs_of(*rules: Rule) -> Needs:
    """What these rules need together."""
    needs = [_needs_of_one(rule) for rule in rules]
    return Needs(
        frozenset[str]().union(*(each.metrics for each in needs)),
        frozenset[str | None]().union(*(each.monitors for each in needs)),
        any(each.past_readings for each in needs),
        any(each.cost for each in needs),
    )


def _needs_of_one(rule: Rule) -> Needs:  # noqa: C901, PLR0911 - one case for each kind
    match rule:
        case Threshold():
            return Needs(frozenset({canonical_metric(rule.metric)}), past_readings=rule.clears_at is not None)
        case MonitorBreach():
            return Needs(monitors=frozenset({rule.signal}))
        case MonitorFailed():
            return Needs()
        case KOfN():
            return needs_of(rule.of)._replace(past_readings=True)
        case Cusum() | PerformanceDrop():
            return Needs(frozenset({canonical_metric(rule.metric)}), past_readings=True)
        case GainCusum():
            return Needs(frozenset({canonical_metric(rule.metric)}), past_readings=True, cost=rule.cost is None)
        case AdaptiveGainCusum():
            return Needs(frozenset({canonical_metric(GAIN)}), past_readings=True, cost=rule.cost is None)
        case Cel():
            return Needs(frozenset(canonical_metric(variable.metric) for variable in rule.variables.values()))
        case AllOf() | AnyOf():
            return needs_of(*rule.rules)
        case Not():
            return needs_of(rule.rule)
        case _:
            assert_never(rule)
