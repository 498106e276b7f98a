"""`anew policy backtest`: policies replayed over your own history before one of them decides in production."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from anew.cli.output import print_json
from anew.core.policy_layers import Layer
from anew.core.policy_types import parse_duration

if TYPE_CHECKING:
    from anew.backtest import Report
    from anew.backtest.policies import PolicyContender

COSTS = (0.02, 0.05, 0.1, 0.2)
_SHOWN_COST = 0.1


def _duration(_type: Any, tokens: Sequence[Any]) -> timedelta:
    return parse_duration(tokens[0].value)


def backtest(
    *policies: Path,
    stream: Path,
    label: str,
    batch: str,
    cost: tuple[float, ...] = COSTS,
    seeds: int = 1,
    window: int = 8,
    labels_late: int = 0,
    period: Annotated[timedelta, Parameter(converter=_duration)] = timedelta(days=7),
    shuffle: bool = False,
    out: Path | None = None,
    cache: Path = Path(".anew/cache"),
    json: bool = False,
) -> None:
    """Replay policies over labelled history, beside never, fixed periods, tool defaults and an oracle.

    Parameters
    ----------
    policies
        Policy files; default: every policy in the folder of the settings. The job files they name need not exist.
    stream
        Parquet or CSV file: features, a label column, and a batch column or rows per batch.
    label
        The label column.
    batch
        The batch column (batches in order of value, text in order of first appearance), or rows per batch.
    cost
        What one retraining costs, in accuracy x batches; may be given several times.
    seeds
        How many seeds of the model to average over.
    window
        How many batches a model is trained on.
    labels_late
        After how many batches the labels of a batch arrive.
    period
        How much time a batch stands for: cooldowns, freezes and budgets count by it.
    shuffle
        Shuffle the rows first: a control on which nothing drifts.
    out
        Where to write the picture: .png, or .html with the table.
    cache
        Folder for results that take long; emptied at no cost but time.
    json
        Print one JSON object.
    """
    from anew.backtest import default_contenders, read_stream, run_backtest, shuffled
    from anew.backtest.work import Work

    contenders = _contenders(policies, period)
    rows = int(batch) if batch.isdigit() else batch
    history = read_stream(stream, label=label, batch=rows, window=window)
    history = shuffled(history, 0) if shuffle else history
    console = Console(stderr=True, highlight=False)
    with _progress(console) as told:
        report = run_backtest(
            history,
            [*default_contenders(), *(each.contender for each in contenders)],
            costs=cost,
            seeds=range(seeds),
            window=window,
            labels_late=labels_late,
            work=Work(cache, processes=2, progress=told.update_stage),
        )
    if out is not None:
        _draw(report, out)
    if json:
        print_json(_as_json(report, contenders))
        return
    _show(report, contenders, Console(highlight=False))
    if out is not None:
        console.print(f"picture: {out}")


def _contenders(files: Sequence[Path], period: timedelta) -> list["PolicyContender"]:
    from anew.adapters.policy_folder import load_policies, load_policy_files
    from anew.backtest.policies import PolicyContender
    from anew.settings import load_settings

    if not files:
        loaded = load_policies(load_settings().policies)
        return [PolicyContender(entry.policy, entry.policy.model, period) for entry in loaded.entries]
    found: list[PolicyContender] = []
    for file in files:
        entries = load_policy_files([file], placeholders(), check_paths=False).entries
        names = [file.stem] if len(entries) == 1 else [f"{file.stem}:{entry.policy.model}" for entry in entries]
        found += [PolicyContender(entry.policy, name, period) for entry, name in zip(entries, names, strict=True)]
    return found


def placeholders() -> Layer:
    """What a replay does not look at: with this below, a file need only hold `when` and its limits."""
    data = {
        "model": "any",
        "monitors": ["any"],
        "retrain": {"launcher": {"kind": "aml", "job": "none"}},
        "evaluate": {"job": "none"},
    }
    return Layer(data, {}, "placeholders")


# --- showing ----------------------------------------------------------------------------------------------


class _Bars(Progress):
    """One bar a stage."""

    def update_stage(self, stage: str, done: int, total: int) -> None:
        known = next((task for task in self.tasks if task.description == stage), None)
        task = known.id if known else self.add_task(stage, total=total)
        self.update(task, completed=done, total=total)


def _progress(console: Console) -> _Bars:
    columns = (TextColumn("{task.description:<9}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return _Bars(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)


def _as_json(report: "Report", contenders: Sequence["PolicyContender"]) -> dict[str, Any]:
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


def _show(report: "Report", contenders: Sequence["PolicyContender"], console: Console) -> None:
    costs = [score.cost for score in report.of(report.policies[0])]
    shown = _SHOWN_COST if _SHOWN_COST in costs else costs[-1]
    ours = {each.name for each in contenders}
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    for heading in ("acc. %", "retr.", "needl.", *(f"λ={each:g}" for each in costs), "total"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in sorted(report.policies, key=report.excess):
        by_cost = {score.cost: score for score in report.of(name)}
        score = by_cost[shown]
        cells = [f"{score.accuracy:.2%}".rstrip("%"), f"{score.retrains:g}", f"{score.needless:g}"]
        cells += [f"{abs(by_cost[each].excess_cost):.2f}" for each in costs]
        table.add_row(name, *cells, f"{report.excess(name):.2f}", style="bold" if name in ours else None)
    console.print(f"[bold]{report.stream}[/]: {report.batches} batches, {report.rows:,} rows")
    console.print(table)
    console.print(
        "excess: cost beyond the oracle's, which knows the future. cost: error summed over batches + λ x retrains"
    )
    for each in contenders:
        if each.unseen:
            console.print(
                f"[yellow]{each.name}[/] asks for {', '.join(sorted(each.unseen))}, which a stream cannot show"
            )
        if report.of(each.name)[0].retrains:
            needs = report.oracle_needs(report.of(each.name)[0].accuracy)
            if needs is not None:
                console.print(f"{each.name}: with foresight, {needs} retrainings reach its accuracy at λ={costs[0]:g}")


def _draw(report: "Report", out: Path) -> None:
    from anew.backtest.picture import save_html, save_png

    out.parent.mkdir(parents=True, exist_ok=True)
    (save_html if out.suffix == ".html" else save_png)(report, out)
