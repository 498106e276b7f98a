"""`python -m bench.policies [FILE:LABEL:BATCH ...]`: what retraining policies cost beyond an oracle.

The shipped policies beside never, fixed periods, tool defaults and the published gain-CUSUM, on Elec2, NOAA weather,
shuffled Elec2 and any stream named. BATCH is a column, or a number of rows. Means over three seeds; summed over the
costs 0.02, 0.05, 0.1 and 0.2 of one retraining.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from anew.adapters.policy_folder import load_policy_files
from anew.backtest import Contender, Report, Stream, Work, default_contenders, read_stream, run_backtest, shuffled
from anew.backtest.contest import HINDSIGHT, ORACLE
from anew.backtest.strategies.policies import PolicyContender
from anew.cli.policy.backtest import placeholders

_SEEDS = (0, 1, 2)
_POLICIES = ("default", "elec2", "weather")
_DATA = Path("src/anew/emulator/data")
_LABEL = "target"


def main() -> None:
    """Print a table of excess costs, and one of retrainings at each cost."""
    console = Console(highlight=False, width=120)
    reports: list[Report] = []
    for stream in _streams(sys.argv[1:]):
        console.print(f"{stream.name}: {len(stream)} batches, {len(stream.labels):,} rows, {len(_SEEDS)} seeds")
        work = Work(Path(".anew/cache"), processes=2)
        reports.append(run_backtest(stream, list(_contenders()), seeds=_SEEDS, work=work))
    _print_excess(console, reports)
    _print_retrains(console, reports)


def _streams(named: Sequence[str]) -> Iterator[Stream]:
    elec2 = read_stream(_DATA / "elec2.parquet", label=_LABEL, batch=336)
    yield elec2
    yield read_stream(_DATA / "noaa_weather.parquet", label=_LABEL, batch=365)
    yield shuffled(elec2, 0)
    for name in named:
        file, label, batch = name.rsplit(":", 2)
        yield read_stream(Path(file), label=label, batch=int(batch) if batch.isdigit() else batch)


def _contenders() -> Iterator[Contender]:
    yield from default_contenders()
    for name in _POLICIES:
        [entry] = load_policy_files([Path("policies") / f"{name}.yaml"], placeholders(), check_paths=False).entries
        yield PolicyContender(entry.policy, f"policies/{name}.yaml").contender


def _print_excess(console: Console, reports: Sequence[Report]) -> None:
    table = Table(box=None, title="excess cost over the oracle, four costs of retraining summed", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for report in reports:
        table.add_column(report.stream, justify="right")
    table.add_column("total", justify="right")
    names = [name for name in reports[0].policies if name != ORACLE]
    for name in sorted(names, key=lambda name: sum(report.excess(name) for report in reports)):
        excess = [report.excess(name) for report in reports]
        style = "bold" if name.startswith("policies/") else "dim" if name == HINDSIGHT else None
        table.add_row(name, *(f"{each:.1f}" for each in excess), f"{sum(excess):.1f}", style=style)
    console.print(table)


def _print_retrains(console: Console, reports: Sequence[Report]) -> None:
    table = Table(box=None, title="retrainings (of which needless), accuracy, at λ = 0.1", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for report in reports:
        table.add_column(report.stream, justify="right")
    for name in reports[0].policies:
        scores = [next(score for score in report.of(name) if score.cost == 0.1) for report in reports]
        table.add_row(name, *(f"{each.retrains:.0f} ({each.needless:.0f})  {each.accuracy:.2%}" for each in scores))
    console.print(table)


if __name__ == "__main__":
    main()
