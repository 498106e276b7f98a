"""Rule `adaptive_gain_cusum`: retraining pays, by the gains that surrogate models measured."""

from typing import Literal

from pydantic import Field

from anew.core.base.document import Document
from anew.core.evidence.comparison import finite_or_none
from anew.core.evidence.facts import Facts
from anew.core.evidence.tree import Node, Verdict
from anew.core.gain.gain import AdaptiveGain, adaptive_gain_cusum
from anew.core.gain.signals import gain_of_facts


class AdaptiveGainCusum(Document):
    """Gain-CUSUM that adapts to the model: while nothing proves that its versions age, the gains must add up to more
    than chance brings; once that is proven, they count in full. The defaults were fixed on some streams and checked
    on others (docs/reference/backtest.md). Signals: those of evidence `kind: gain`.
    """

    kind: Literal["adaptive_gain_cusum"]
    share: float = Field(default=0.5, gt=0, le=10, description="Of the cost, while ageing is not proven.")
    allowance: float = Field(default=0.75, ge=0, le=10, description="Standard errors taken off each gain meanwhile.")
    hurdle: float = Field(default=5.0, ge=0, le=100, description="Standard errors the sum has to reach meanwhile.")
    proof: float = Field(default=4.0, ge=0, le=100, description="Standard errors of ageing that prove it.")
    proven_share: float = Field(default=0.9, gt=0, le=10, description="Of the cost, once ageing is proven.")
    carry: float = Field(default=0.5, ge=0, le=1, description="Of the newest gains, for batches with late labels.")
    own_record: float = Field(
        default=0.3, ge=0, le=1, description="Of what the model lost beyond its surrogates, once ageing is proven."
    )
    cost: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Default: `retrain.cost`.")


def judge_adaptive_gain_cusum(rule: AdaptiveGainCusum, cost: float, facts: Facts) -> Node:
    """YES when retraining pays, by the gains that surrogates measured since the last one; unknown without any."""
    evidence = gain_of_facts(facts)
    if evidence is None:
        return Node("adaptive_gain_cusum", Verdict.UNKNOWN, "no gain of retraining was measured", {"cost": cost})
    settings = AdaptiveGain(**rule.model_dump(exclude={"kind", "cost"}))
    judged = adaptive_gain_cusum(evidence, cost=cost, settings=settings)
    compared = {"cost": cost, "statistic": judged.statistic, "threshold": judged.threshold, **judged.parts}
    values = {name: finite_or_none(value) for name, value in compared.items()}
    return Node("adaptive_gain_cusum", Verdict.YES if judged.retrain else Verdict.NO, judged.sentence, values)
