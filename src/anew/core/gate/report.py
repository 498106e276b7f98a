"""The report of an evaluation as the JSON of the tag `anew_evaluation`."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anew.core.gate.evaluation import EvaluationResult, Interval, Method, PairedCounts, SliceFigure, SliceReport
from anew.core.gate.metric import Metric, metric_named
from anew.core.policies.gate import Gate
from anew.errors import InvalidEvaluation, InvalidPolicy

_DIGITS = 9  # of every figure: more would only make the tag longer
_Count = Annotated[int, Field(ge=0)]
_Value = Annotated[float, Field(allow_inf_nan=False)]
_Probability = Annotated[float, Field(ge=0, le=1)]
_Name = Annotated[str, Field(min_length=1)]


def parse_gate(text: str) -> Gate:
    """The gate that an evaluation job gets by its input `gate`. Raises InvalidPolicy."""
    try:
        return Gate.model_validate_json(text)
    except ValidationError as error:
        raise InvalidPolicy(tuple(f"gate: {problem}" for problem in _problems(error))) from None


def parse_evaluation(text: str) -> EvaluationResult:
    """The result an evaluation job reports in its tag `anew_evaluation`. Raises InvalidEvaluation for text that is
    not such a report, and for figures that cannot all be true of one table of rows.
    """
    try:
        report = _Report.model_validate_json(text)
    except ValidationError as error:
        said = "; ".join(_problems(error))
        raise InvalidEvaluation(f"the tag anew_evaluation is not a report: {said}") from None
    if contradiction := _contradiction(report):
        raise InvalidEvaluation(f"the figures in the tag anew_evaluation contradict each other: {contradiction}")
    return _result(report)


def report_text(result: EvaluationResult) -> str:
    """The report as compact JSON, which parse_evaluation reads back."""
    told, slices = result.interval, result.slices
    report = _Report(
        metric=result.metric,
        rows=result.rows,
        data_hash=result.data_hash,
        scored_hash=result.scored_hash,
        challenger=_short(result.challenger),
        champion=None if result.champion is None else _short(result.champion),
        **(_named(result.counts) if result.counts else {}),
        interval=None
        if told is None
        else _WireInterval(**{name: _short(value) for name, value in _named(told).items()}),
        block=result.block,
        slices=None if slices is None else _wire_slices(slices),
        figures={name: _short(value) for name, value in result.figures.items()},
    )
    return report.model_dump_json(exclude_defaults=True)


class _Wire(BaseModel):
    """Keys it does not know are left for newer evaluators."""

    model_config = ConfigDict(strict=True, frozen=True)


class _WireInterval(_Wire):
    difference: _Value
    lower: _Value
    upper: _Value
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    method: Annotated[Method, Field(strict=False)]
    standard_error: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    units: _Count | None = None
    informative: _Count | None = None


class _WireSlice(_Wire):
    name: _Name
    rows: _Count
    difference: _Value
    p_value: _Probability


class _WireSlices(_Wire):
    columns: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    min_rows: _Count
    judged: _Count
    unjudged: _Count = 0
    worst: Annotated[tuple[_WireSlice, ...], Field(strict=False)] = ()


class _Report(_Wire):
    """The wire form of an EvaluationResult. Counts alone are enough for accuracy."""

    metric: _Name = "accuracy"
    rows: Annotated[int, Field(ge=1)]
    data_hash: _Name
    scored_hash: str = ""
    challenger: _Value | None = None
    champion: _Value | None = None
    challenger_correct: _Count | None = None
    champion_correct: _Count | None = None
    only_champion: _Count | None = None
    only_challenger: _Count | None = None
    interval: _WireInterval | None = None
    block: str | None = None
    slices: _WireSlices | None = None
    figures: dict[str, _Value] = Field(default_factory=dict[str, float])


def _problems(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, each['loc'])) or 'text'}: {each['msg']}" for each in error.errors()]


def _result(report: _Report) -> EvaluationResult:
    champion, challenger = report.champion, report.challenger
    if report.challenger_correct is not None:
        challenger = report.challenger_correct / report.rows
    if report.champion_correct is not None:
        champion = report.champion_correct / report.rows
    assert challenger is not None
    return EvaluationResult(
        rows=report.rows,
        data_hash=report.data_hash,
        challenger=challenger,
        champion=champion,
        metric=report.metric,
        counts=_counts(report),
        interval=None if report.interval is None else Interval(**report.interval.model_dump()),
        block=report.block,
        slices=None if report.slices is None else _slices(report.slices),
        figures=report.figures,
        scored_hash=report.scored_hash,
    )


def _counts(report: _Report) -> PairedCounts | None:
    match (report.challenger_correct, *_champions_counts(report)):
        case (int(correct), champion, worse, better):
            return PairedCounts(correct, champion, worse, better)
        case _:
            return None


def _slices(told: _WireSlices) -> SliceReport:
    worst = tuple(SliceFigure(**item.model_dump()) for item in told.worst)
    return SliceReport(told.columns, told.margin, told.min_rows, told.judged, told.unjudged, worst)


# --- what cannot be true ----------------------------------------------------------------------------------


def _contradiction(report: _Report) -> str | None:
    return _counts_contradiction(report) or _figures_contradiction(report) or _slices_contradiction(report)


def _counts_contradiction(report: _Report) -> str | None:
    correct, champions = report.challenger_correct, _champions_counts(report)
    if correct is None:
        return "the champion's counts come with challenger_correct" if champions else None
    if metric_named(report.metric) is not Metric.ACCURACY:
        return f"counts of right answers say nothing of {report.metric}"
    if correct > report.rows:
        return f"challenger_correct {correct} of {report.rows} rows"
    match champions:
        case []:
            return None
        case [champion, worse, better]:
            return _pairs_contradiction(report.rows, correct, champion, worse, better)
        case _:
            return "champion_correct, only_champion and only_challenger come together or not at all"


def _champions_counts(report: _Report) -> list[int]:
    counts = (report.champion_correct, report.only_champion, report.only_challenger)
    return [count for count in counts if count is not None]


def _pairs_contradiction(rows: int, correct: int, champion: int, worse: int, better: int) -> str | None:
    both = champion - worse
    if both != correct - better:
        return "champion_correct - only_champion is not challenger_correct - only_challenger"
    if both < 0 or both + worse + better > rows:
        return f"{both} rows right by both, {worse} and {better} by one alone, of {rows}"
    return None


def _figures_contradiction(report: _Report) -> str | None:
    told = report.interval
    if report.challenger_correct is None and report.challenger is None:
        return "challenger is missing"
    opposed = report.champion is not None or report.champion_correct is not None
    if told is not None:
        return _interval_contradiction(report, told) if opposed else "interval without champion"
    return "champion without interval" if opposed and report.champion_correct is None else None


def _interval_contradiction(report: _Report, told: _WireInterval) -> str | None:
    if told.lower > told.upper:
        return f"lower {told.lower:g} is above upper {told.upper:g}"
    if not (told.informative or 0) <= (told.units or 0) <= report.rows:
        return f"{told.informative} informative units of {told.units}, of {report.rows} rows"
    return None


def _slices_contradiction(report: _Report) -> str | None:
    told = report.slices
    if told is not None and len(told.worst) > told.judged:
        return f"{len(told.worst)} slices told, {told.judged} judged"
    if told is not None and told.judged and not told.worst:
        return f"{told.judged} slices judged, none told"
    return None


# --- writing ----------------------------------------------------------------------------------------------


def _wire_slices(slices: SliceReport) -> _WireSlices:
    worst = tuple(
        _WireSlice(name=item.name, rows=item.rows, difference=_short(item.difference), p_value=_short(item.p_value))
        for item in slices.worst
    )
    return _WireSlices(
        columns=slices.columns,
        margin=slices.margin,
        min_rows=slices.min_rows,
        judged=slices.judged,
        unjudged=slices.unjudged,
        worst=worst,
    )


def _named(value: PairedCounts | Interval) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _short(value: Any) -> Any:
    """A number with the digits that matter; anything else as it is."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) and math.isfinite(value) else value
