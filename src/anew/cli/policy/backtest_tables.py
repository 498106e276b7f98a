"""Output of `anew policy backtest`: tables for people, JSON for machines, a picture, and progress bars."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from anew.backtest import Report
    from anew.backtest.strategies.policies import PolicyContender
    from anew.backtest.strategies.recorded import RecordedReplay

_SHOWN_COST = 0.1


class Bars(Progress):
    """One progress bar for each stage."""

    def update_stage(self, stage: str, done: int, total: int) -> None:
        known = next((task for task in self.tasks if task.description == stage), None)
        task = known.id if known else self.add_task(stage, total=total)
        self.update(task, completed=done, total=total)


def progress(console: Console) -> Bars:
    """Bars that vanish when done; without a terminal they are not shown."""
    columns = (TextColumn("{task.description:<9}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return Bars(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)


# --- labelled rows ----------------------------------------------------------------------------------------


def report_json(report: "Report", contenders: Sequence["PolicyContender"]) -> dict[str, Any]:
    """The output of `--json` for a replay over labelled rows."""
    unseen = {each.name: sorted(each.unseen) for each in contenders}
    known = report.as_json()
    return {
        **{name: known[name] for name in ("stream", "batches", "rows", "unlabelled_rows", "window", "seeds")},
        "policies": [
            {
                "policy": name,
                "total_excess_cost": report.excess(name),
                **({"cannot_see": unseen[name]} if unseen.get(name) else {}),
                "by_lambda": [
                    {key: value for key, value in score.as_json().items() if key != "policy"}
                    for score in report.of(name)
                ],
            }
            for name in report.policies
        ],
        "oracle_accuracies": known["oracle_accuracies"],
    }


def show_report(report: "Report", contenders: Sequence["PolicyContender"], console: Console) -> None:
    """Print the scores, the metrics that a stream cannot show, and the retrainings that foresight would need."""
    costs = [score.cost for score in report.of(report.policies[0])]
    shown = _SHOWN_COST if _SHOWN_COST in costs else costs[-1]
    own = {each.name for each in contenders}
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    for heading in ("acc. %", "retr.", "needl.", *(f"λ={each:g}" for each in costs), "total"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in sorted(report.policies, key=report.excess):
        by_cost = {score.cost: score for score in report.of(name)}
        score = by_cost[shown]
        cells = [f"{score.accuracy:.2%}".rstrip("%"), f"{score.retrains:g}", f"{score.needless:g}"]
        cells += [f"{by_cost[each].excess_cost:.2f}" for each in costs]
        table.add_row(name, *cells, f"{report.excess(name):.2f}", style="bold" if name in own else None)
    console.print(f"[bold]{report.stream}[/]: {report.batches} batches, {report.rows:,} rows")
    console.print(table)
    console.print(f"accuracy, retrainings and needless ones: at λ={shown:g}, the cost of one retraining.")
    console.print(
        "λ=..: cost (error summed over batches + λ x retrainings) above that of an oracle that knows the future."
    )
    for each in contenders:
        if each.unseen:
            console.print(
                f"[yellow]{each.name}[/] asks for {', '.join(sorted(each.unseen))}, which a stream does not contain"
            )
        if report.of(each.name)[0].retrains:
            needs = report.oracle_needs(report.of(each.name)[0].accuracy)
            if needs is not None:
                console.print(f"{each.name}: with foresight, {needs} retrainings reach its accuracy at λ={costs[0]:g}")


def draw(report: "Report", out: Path) -> None:
    """Write the picture, or a page with it."""
    from anew.backtest.picture import save_html, save_png

    out.parent.mkdir(parents=True, exist_ok=True)
    (save_html if out.suffix == ".html" else save_png)(report, out)


# --- recorded signals -------------------------------------------------------------------------------------


def show_recorded(file: Path, replays: Sequence["RecordedReplay"], console: Console) -> None:
    """Print the outcomes of each policy, then each retraining with its reasons."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    for outcome in replays[0].outcomes:
        table.add_column(str(outcome), justify="right", no_wrap=True)
    for each in replays:
        table.add_row(escape(each.policy), *(f"{count:,}" for count in each.outcomes.values()))
    console.print(f"[bold]{escape(str(file))}[/]: {replays[0].instants:,} decisions")
    console.print(table)
    for each in replays:
        for retrained in each.retrained:
            when = retrained.at.isoformat(" ", "seconds")
            console.print(f"[bold]{escape(each.policy)}[/] {when} {escape(retrained.sentence)}", soft_wrap=True)
        if each.unseen:
            asked = escape(", ".join(sorted(each.unseen)))
            console.print(f"[yellow]{escape(each.policy)}[/] asks for {asked}, but the file has no such signal")
