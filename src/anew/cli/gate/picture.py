"""The verdict of a gate for a terminal: interval and margin, slices worst first, floors."""

import math
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anew.core.gate import FloorState, GateOutcome, GateResult, SliceState
from anew.core.gate.judging import POWER
from anew.core.gate.metric import edge, format_metric
from anew.core.policies.gate import Gate

_WIDTH: Final = 49  # odd, so that zero can be in the middle
_COLOUR: Final = {
    GateOutcome.PROMOTE: "bold green",
    GateOutcome.REJECT: "bold red",
    GateOutcome.INCONCLUSIVE: "bold yellow",
}
_STATE_COLOUR: Final = {
    SliceState.WORSE: "red",
    SliceState.HOLDS: "green",
    FloorState.VIOLATED: "red",
    FloorState.MISSING: "yellow",
    FloorState.HOLDS: "green",
}


def show_gate(console: Console, gate: Gate, judged: GateResult, *, unjudged: int = 0) -> None:
    """Print the verdict and its reasons."""
    colour = _COLOUR[judged.outcome]
    console.print(f"[{colour}]{judged.outcome.upper()}[/]  {escape(judged.sentence)}", soft_wrap=True)
    if judged.champion is not None and judged.challenger is not None:
        values = format_metric(gate.metric, judged.champion), format_metric(gate.metric, judged.challenger)
        console.print(f"{gate.metric}: champion {values[0]}, challenger {values[1]}")
    if judged.lower is not None and judged.upper is not None and judged.difference is not None:
        console.print(escape(picture(gate.metric, judged.lower, judged.difference, judged.upper, edge(gate))))
        p_value = "" if judged.p_value is None else f", p {judged.p_value:.3g} for no difference"
        console.print(
            f"one-sided bounds at {100 * gate.confidence:.4g}% confidence by {judged.method}{p_value}", soft_wrap=True
        )
        console.print(_required(gate, judged), soft_wrap=True)
    _show_slices(console, gate, judged, unjudged)
    _show_floors(console, judged)
    console.print(f"[dim]rows {judged.data_hash or '-'}[/]", soft_wrap=True)


def picture(metric: str, lower: float, difference: float, upper: float, limit: float) -> str:
    """The interval on a line: `[` lower, `|` difference, `]` upper, `!` limit, `0` no difference."""
    reach = max(abs(lower), abs(upper), abs(limit)) * 1.1 or 1.0
    line = ["-"] * _WIDTH

    def place(value: float) -> int:
        return min(_WIDTH - 1, max(0, math.floor((value / reach + 1) / 2 * (_WIDTH - 1) + 0.5)))

    for at in range(place(lower), place(upper) + 1):
        line[at] = "="
    marks = {0.0: "0", limit: "!", lower: "[", upper: "]", difference: "|"}
    for value, mark in marks.items():
        line[place(value)] = mark
    ends = (format_metric(metric, value, signed=True) for value in (-reach, reach))
    return f"{''.join(line)}".join(f" {end} " for end in ends).strip()


def _required(gate: Gate, judged: GateResult) -> str:
    if judged.required_rows is None:
        return "no number of rows would be enough if the true difference is the one seen"
    truth = "the difference seen" if gate.kind == "superiority" else "two equally good models"
    return f"rows needed for {truth} to pass in {POWER:.0%} of cases: {judged.required_rows}; there are {judged.rows}"


def _show_slices(console: Console, gate: Gate, judged: GateResult, unjudged: int) -> None:
    if gate.slices is None or judged.champion is None:
        return
    allowed = format_metric(gate.metric, -gate.slices.margin, signed=True)
    console.print(f"slices: {judged.slices_judged} judged, {unjudged} not (too few rows); {allowed} is allowed")
    table = Table(box=None, pad_edge=False)
    for name in ("slice", "rows", "difference", "p", "state"):
        table.add_column(name, justify="left" if name in ("slice", "state") else "right")
    for item in judged.slices:
        state = f"[{_STATE_COLOUR[item.state]}]{item.state}[/]"
        difference = format_metric(gate.metric, item.difference, signed=True)
        table.add_row(escape(item.name), str(item.rows), difference, f"{item.p_value:.2g}", state)
    if judged.slices:
        console.print(table)


def _show_floors(console: Console, judged: GateResult) -> None:
    for floor in judged.floors:
        limit = f"at least {floor.at_least:g}" if floor.at_least is not None else f"at most {floor.at_most:g}"
        value = "not measured" if floor.value is None else f"{floor.value:.4g}"
        console.print(f"{escape(floor.metric)} {value}, {limit}: [{_STATE_COLOUR[floor.state]}]{floor.state}[/]")
