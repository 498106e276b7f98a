"""The rules a policy may be made of, as documents. What they mean is in `rules.py`."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from anew.core.base.document import Document, Duration, Number, Text
from anew.core.base.metrics import Worse, canonical_metric, direction_of, known_metrics
from anew.core.rules.cel import CompiledExpression, compile_expression


class ShareOfFeatures(Document):
    """At least this share of the features is beyond the value. A monitor's breach tag cannot tell a share: it lists
    breaching features only.
    """

    kind: Literal["share"]
    at_least: float = Field(gt=0, le=1)


class WeightedFeatures(Document):
    """The weighted mean over these features is beyond the value; all of them must have been measured."""

    kind: Literal["weighted"]
    weights: dict[Text, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=1)


OverFeatures = Annotated[ShareOfFeatures | WeightedFeatures, Field(discriminator="kind")]
_METRIC = "Compared without regard to case and underscores, as Azure spells one metric several ways."


def _checked_direction(metric: str, said: Worse) -> None:
    known = direction_of(metric)
    if known is not None and known is not said:
        falls = "falls" if known is Worse.BELOW else "rises"
        raise ValueError(f"{metric} gets worse as it {falls}: use '{known}' or 'worse_than', not '{said}'")


def _direction_needed(metric: str) -> Worse:
    if (known := direction_of(metric)) is None:
        names = ", ".join(known_metrics())
        raise ValueError(f"which way '{metric}' gets worse is not known: use 'above' or 'below'; known: {names}")
    return known


class Threshold(Document):
    """One metric beyond a value; equality is not a breach. Exactly one of `above`, `below` and `worse_than`."""

    kind: Literal["threshold"]
    metric: Text = Field(description=_METRIC)
    above: Number | None = None
    below: Number | None = None
    worse_than: Number | None = Field(default=None, description="The direction comes from the table of known metrics.")
    feature: str | None = Field(default=None, description="Only this feature; default: any feature of the metric.")
    over: OverFeatures | None = Field(default=None, description="How to judge many features; default: any.")
    clears_at: Number | None = Field(
        default=None, description="Hysteresis: once beyond the value, it stays so until it is back at this one."
    )

    @property
    def worse(self) -> Worse:
        """The direction that fires."""
        if self.above is not None or self.below is not None:
            return Worse.ABOVE if self.above is not None else Worse.BELOW
        return _direction_needed(self.metric)

    @property
    def limit(self) -> float:
        """The value that has to be passed."""
        return next(value for value in (self.above, self.below, self.worse_than) if value is not None)

    @model_validator(mode="after")
    def _is_one_comparison(self) -> "Threshold":
        given = [name for name in ("above", "below", "worse_than") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of 'above', 'below' and 'worse_than'")
        if given == ["worse_than"]:
            _direction_needed(self.metric)
        else:
            _checked_direction(self.metric, Worse(given[0]))
        if self.feature is not None and self.over is not None:
            raise ValueError("give 'feature' or 'over', not both")
        inside = self.clears_at is None or (
            self.clears_at <= self.limit if self.worse is Worse.ABOVE else self.clears_at >= self.limit
        )
        if not inside:
            side = "below" if self.worse is Worse.ABOVE else "above"
            raise ValueError(f"'clears_at' must be on the good side: {side} {self.limit:g}")
        if self.clears_at is not None and self.over is not None:
            raise ValueError("'clears_at' is for one series: it does not go with 'over'")
        return self


class MonitorBreach(Document):
    """A monitor reported a breach, which is recomputed from value and threshold where both are known."""

    kind: Literal["monitor_breach"]
    signal: str | None = Field(
        default=None,
        description="Only this signal; default: any signal of this policy's monitors.",
    )


class MonitorFailed(Document):
    """A monitor of this policy had no data, or broke, and has not reported since. For `block_when`."""

    kind: Literal["monitor_failed"]


class KOfN(Document):
    """A rule fired in at least k of the newest n readings since the model was last retrained."""

    kind: Literal["k_of_n"]
    k: int = Field(ge=1, le=1000)
    n: int = Field(ge=1, le=1000)
    of: Annotated[Threshold | MonitorBreach, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _k_is_possible(self) -> "KOfN":
        if self.k > self.n:
            raise ValueError(f"'k' must be at most 'n': {self.k} of {self.n} cannot be")
        if isinstance(self.of, Threshold) and self.of.clears_at is not None:
            raise ValueError("'clears_at' is a memory of its own: it does not go into 'k_of_n'")
        return self


class Cusum(Document):
    """Small shifts add up: S = max(0, S + (deviation from target, in the bad direction) - slack), over the readings
    since the last retraining; fires when S reaches `limit` (Page, Biometrika 41, 1954).
    """

    kind: Literal["cusum"]
    metric: Text = Field(description=_METRIC)
    target: Number = Field(description="The value when all is well.")
    slack: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Deviation that is normal.")
    limit: float = Field(gt=0, allow_inf_nan=False)
    feature: str | None = None
    worse: Worse | None = Field(default=None, description="Direction; default: from the table of known metrics.")

    @model_validator(mode="after")
    def _has_a_direction(self) -> "Cusum":
        if self.worse is None:
            _direction_needed(self.metric)
        else:
            _checked_direction(self.metric, self.worse)
        return self

    @property
    def bad_side(self) -> Worse:
        """The direction that adds up."""
        return self.worse or _direction_needed(self.metric)


class PerformanceDrop(Document):
    """The model's performance fell by more than `drop`, beyond what the rows leave to chance. Labels come late:
    readings younger than `label_delay` do not count yet.
    """

    kind: Literal["performance_drop"]
    metric: Text = Field(default="accuracy", description="A performance metric with a known direction.")
    drop: float = Field(gt=0, allow_inf_nan=False, description="In the metric's own unit: 0.05 of accuracy is 5 pp.")
    baseline: Number | None = Field(
        default=None, description="Default: the mean of the first `baseline_readings` since the last retraining."
    )
    baseline_readings: int = Field(default=2, ge=1, le=1000)
    newest: int = Field(default=1, ge=1, le=1000, description="Mean over so many of the newest readings.")
    label_delay: Duration = timedelta(0)
    confidence: float = Field(
        default=0.95, ge=0.5, lt=1, description="One-sided, for shares whose rows are known; 0.5 compares as it is."
    )

    @model_validator(mode="after")
    def _has_a_direction(self) -> "PerformanceDrop":
        _direction_needed(self.metric)
        return self


class GainCusum(Document):
    """The gain that a newly trained model would bring adds up to what retraining costs (`retrain.cost`).
    S = max(0, S + gain - allowance * sqrt(0.25 / rows)), since the last retraining; fires when S reaches
    `share` * cost. Signals: metric `gain`, with their rows.
    """

    kind: Literal["gain_cusum"]
    metric: Text = "gain"
    allowance: float = Field(default=0.25, ge=0, allow_inf_nan=False, description="In standard errors of the rows.")
    share: float = Field(default=0.5, gt=0, allow_inf_nan=False, description="Of the cost, at which it pays.")
    cost: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Default: `retrain.cost`.")


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

    @property
    def metric(self) -> str:
        """What it looks at."""
        return "gain"


class Variable(Document):
    """A number for a CEL expression: the newest value of a metric, of one feature or aggregated over features."""

    metric: Text
    feature: str | None = None
    aggregate: Literal["max", "min", "mean"] = "max"


class Cel(Document):
    """One CEL expression over numbers, for what no other kind says. It must be a bool. Besides the variables it
    declares: `hours_since_retraining` (double; 1e9 when never retrained) and `retrainings` (int, of this model).
    """

    kind: Literal["cel"]
    expr: Annotated[str, Field(min_length=1, max_length=2000)]
    variables: dict[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,63}$")], Variable] = Field(default={})

    @model_validator(mode="after")
    def _compiles(self) -> "Cel":
        self.compiled()
        return self

    def compiled(self) -> CompiledExpression:
        """The expression, type-checked. Raises ValueError."""
        return compile_expression(self.expr, tuple(sorted(self.variables)))


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


def metrics_of(rule: Rule) -> frozenset[str]:
    """The canonical names of all metrics the rule asks for; a monitor's breach may be about any."""
    return frozenset[str]().union(*(_metrics_of_leaf(leaf) for leaf in leaves_of(rule)))


def _metrics_of_leaf(leaf: Rule) -> frozenset[str]:
    match leaf:
        case KOfN():
            return metrics_of(leaf.of)
        case Cel():
            return frozenset(canonical_metric(each.metric) for each in leaf.variables.values())
        case MonitorBreach() | MonitorFailed() | AllOf() | AnyOf() | Not():
            return frozenset()
        case _:
            return frozenset({canonical_metric(leaf.metric)})


def leaves_of(rule: Rule) -> tuple[Rule, ...]:
    """The rule taken apart: what stands below `all`, `any` and `not`."""
    match rule:
        case AllOf() | AnyOf():
            return tuple(leaf for below in rule.rules for leaf in leaves_of(below))
        case Not():
            return leaves_of(rule.rule)
        case _:
            return (rule,)


def monitors_asked(rule: Rule) -> frozenset[str | None]:
    """The monitors whose reports the rule depends on; None stands for any of the policy's."""
    leaves = (leaf.of if isinstance(leaf, KOfN) else leaf for leaf in leaves_of(rule))
    return frozenset(leaf.signal for leaf in leaves if isinstance(leaf, MonitorBreach))


def looks_back(rule: Rule) -> bool:
    """Whether the rule needs readings before the newest."""
    return any(
        isinstance(leaf, KOfN | Cusum | PerformanceDrop | GainCusum | AdaptiveGainCusum)
        or (isinstance(leaf, Threshold) and leaf.clears_at is not None)
        for leaf in leaves_of(rule)
    )


def weighs_cost(rule: Rule) -> bool:
    """Whether the rule depends on what a retraining costs."""
    return any(isinstance(leaf, GainCusum | AdaptiveGainCusum) and leaf.cost is None for leaf in leaves_of(rule))
