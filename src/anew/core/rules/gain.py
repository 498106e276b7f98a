"""Judging the adaptive gain-CUSUM: the rule is in `gain`, this makes a node of it."""

from anew.core.evidence.comparison import finite_or_none
from anew.core.evidence.facts import Facts
from anew.core.evidence.tree import Node, Verdict
from anew.core.gain.gain import AdaptiveGain, adaptive_gain_cusum
from anew.core.gain.signals import gain_of_facts
from anew.core.rules.documents import AdaptiveGainCusum


def judge_adaptive_gain_cusum(rule: AdaptiveGainCusum, cost: float, facts: Facts) -> Node:
    """YES when retraining pays, by the gains that surrogates measured since the last one; unknown without any."""
    evidence = gain_of_facts(facts)
    if evidence is None:
        return Node("adaptive_gain_cusum", Verdict.UNKNOWN, "no gain of retraining was measured", {"cost": cost})
    settings = AdaptiveGain(
        share=rule.share,
        allowance=rule.allowance,
        hurdle=rule.hurdle,
        proof=rule.proof,
        proven_share=rule.proven_share,
        carry=rule.carry,
        own_record=rule.own_record,
    )
    judged = adaptive_gain_cusum(evidence, cost=cost, settings=settings)
    compared = {"cost": cost, "statistic": judged.statistic, "threshold": judged.threshold, **judged.parts}
    values = {name: finite_or_none(value) for name, value in compared.items()}
    return Node("adaptive_gain_cusum", Verdict.YES if judged.retrain else Verdict.NO, judged.sentence, values)
