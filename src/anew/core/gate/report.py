"""The report of an evaluation as the JSON of the tag `anew_evaluation`."""

from dataclasses import asdict
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from anew.core.gate.evaluation import EvaluationResult, Interval, Method, PairedCounts, SliceFigure, SliceReport
from anew.core.gate.metric import GateMetric, metric_named
from anew.core.policies.gate import Gate
from anew.errors import InvalidEvaluation, InvalidPolicy


def _shortened(value: float) -> float:
    return float(f"{value:.9g}")  # more digits would only make the tag longer


_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[float, PlainSerializer(_shortened, when_used="json"), Field(allow_inf_nan=False)]
_NotNegative = Annotated[_Number, Field(ge=0)]
_Name = Annotated[str, Field(min_length=1)]


class _Wire(BaseModel):
    """Unknown keys are ignored, so that newer evaluators can add some."""

    model_config = ConfigDict(strict=True, frozen=True)


class _WireInterval(_Wire):
    difference: _Number
    lower: _Number
    upper: _Number
    confidence: Annotated[_Number, Field(gt=0.5, lt=1)]
    method: Annotated[Method, Field(strict=False)]
    standard_error: _NotNegative
    units: _Count | None = None
    informative: _Count | None = None


class _WireSlice(_Wire):
    name: _Name
    rows: _Count
    difference: _Number
    p_value: Annotated[_NotNegative, Field(le=1)]


class _WireSlices(_Wire):
    columns: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    margin: _NotNegative
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
    challenger: _Number | None = None
    champion: _Number | None = None
    challenger_correct: _Count | None = None
    champion_correct: _Count | None = None
    only_champion: _Count | None = None
    only_challenger: _Count | None = None
    interval: _WireInterval | None = None
    block: str | None = None
    slices: _WireSlices | None = None
    figures: dict[str, _Number] = Field(default_factory=dict[str, float])


def report_text(result: EvaluationResult) -> str:
    """The report as compact JSON, which parse_evaluation reads back."""
    fields = asdict(result)
    counts = fields.pop("counts") or {}
    return _Report.model_validate({**fields, **counts}).model_dump_json(exclude_defaults=True)


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
        problems = "; ".join(_problems(error))
        raise InvalidEvaluation(f"the tag anew_evaluation is not a report: {problems}") from None
    if wrong := _counts_contradiction(report) or _figures_contradiction(report) or _slices_contradiction(report):
        raise InvalidEvaluation(f"the figures in the tag anew_evaluation contradict each other: {wrong}")
    return _result(report)


def _problems(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, each['loc'])) or 'text'}: {each['msg']}" for each in error.errors()]


def _result(report: _Report) -> EvaluationResult:
    champion, challenger, counts = report.champion, report.challenger, None
    if report.challenger_correct is not None:
        challenger = report.challenger_correct / report.rows
    if report.champion_correct is not None:
        champion = report.champion_correct / report.rows
    assert challenger is not None
    match (report.challenger_correct, *_counts_with_champion(report)):
        case (int(correct), champion_correct, worse, better):
            counts = PairedCounts(correct, champion_correct, worse, better)
        case _:
            pass
    return EvaluationResult(
        rows=report.rows,
        data_hash=report.data_hash,
        challenger=challenger,
        champion=champion,
        metric=report.metric,
        counts=counts,
        interval=Interval(**report.interval.model_dump()) if report.interval else None,
        block=report.block,
        slices=_slices(report.slices) if report.slices else None,
        figures=report.figures,
        scored_hash=report.scored_hash,
    )


def _slices(told: _WireSlices) -> SliceReport:
    worst = tuple(SliceFigure(**item.model_dump()) for item in told.worst)
    return SliceReport(told.columns, told.margin, told.min_rows, told.judged, told.unjudged, worst)


# --- contradictions ---------------------------------------------------------------------------------------


def _counts_contradiction(report: _Report) -> str | None:
    correct, counts = report.challenger_correct, _counts_with_champion(report)
    if correct is None:
        return "the champion's counts come with challenger_correct" if counts else None
    if metric_named(report.metric) is not GateMetric.ACCURACY:
        return f"counts of right answers say nothing of {report.metric}"
    if correct > report.rows:
        return f"challenger_correct {correct} of {report.rows} rows"
    match counts:
        case []:
            return None
        case [champion, worse, better]:
            return _pairs_contradiction(report.rows, correct, champion, worse, better)
        case _:
            return "champion_correct, only_champion and only_challenger come together or not at all"


def _pairs_contradiction(rows: int, correct: int, champion: int, worse: int, better: int) -> str | None:
    both = champion - worse
    if both != correct - better:
        return "champion_correct - only_champion is not challenger_correct - only_challenger"
    if both < 0 or both + worse + better > rows:
        return f"{both} rows right by both, {worse} and {better} by one alone, of {rows}"
    return None


def _counts_with_champion(report: _Report) -> list[int]:
    counts = (report.champion_correct, report.only_champion, report.only_challenger)
    return [count for count in counts if count is not None]


def _figures_contradiction(report: _Report) -> str | None:
    told, opposed = report.interval, report.champion is not None or report.champion_correct is not None
    if report.challenger_correct is None and report.challenger is None:
        return "challenger is missing"
    if told is None:
        return "champion without interval" if opposed and report.champion_correct is None else None
    if not opposed:
        return "interval without champion"
    if told.lower > told.upper:
        return f"lower {told.lower:g} is above upper {told.upper:g}"
    if not (told.informative or 0) <= (told.units or 0) <= report.rows:
        return f"{told.informative} informative units of {told.units}, of {report.rows} rows"
    return None


def _slices_contradiction(report: _Report) -> str | None:
    told = report.slices
    if told is not None and len(told.worst) > told.judged:
        return f"{len(told.worst)} slices in the report, {told.judged} judged"
    if told is not None and told.judged and not told.worst:
        return f"{told.judged} slices judged, none in the report"
    return None
