"""`anew policy backtest`: replay policies over your history before one of them decides in production."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from anew.cli.output import print_json
from anew.core.base.document import parse_duration
from anew.core.policies.places import Placed
from anew.errors import InvalidStream

if TYPE_CHECKING:
    from anew.backtest import Stream
    from anew.backtest.strategies.policies import PolicyContender

COSTS = (0.02, 0.05, 0.1, 0.2)
_WORTH_A_PROCESS = 5_000  # rows; with fewer, training ends before a second process has started
_AT_LEAST_0 = Parameter(validator=Number(gte=0))
_AT_LEAST_1 = Parameter(validator=Number(gte=1))
_POSITIVE = Parameter(validator=Number(gt=0))


def _duration(_type: Any, tokens: Sequence[Any]) -> timedelta:
    return parse_duration(tokens[0].value)


def backtest(
    *policies: Path,
    stream: Path | None = None,
    label: str | None = None,
    batch: str | None = None,
    signals: Path | None = None,
    cost: Annotated[tuple[float, ...], _POSITIVE] = COSTS,
    seeds: Annotated[int, _AT_LEAST_1] = 1,
    window: Annotated[int, _AT_LEAST_1] = 8,
    labels_late: Annotated[int, _AT_LEAST_0] = 0,
    period: Annotated[timedelta, Parameter(converter=_duration)] = timedelta(days=7),
    shuffle: bool = False,
    out: Path | None = None,
    cache: Path = Path(".anew/cache"),
    json: bool = False,
) -> None:
    """Replay policies over labelled rows, beside baselines and an oracle, or over recorded signals.

    Give --stream with --label and --batch, or --signals. All options from --cost to --cache are for --stream.

    Parameters
    ----------
    policies
        Policy files; default: all policies in the folder of the settings. Job files that they name need not exist.
    stream
        Parquet or CSV file with features, a label column and, unless --batch is a number, a batch column.
    label
        The label column.
    batch
        The batch column (batches in order of value; text in order of first appearance), or rows per batch.
    signals
        CSV or JSON Lines (.jsonl) file of recorded signals: metric, value, at (RFC 3339), optionally feature, rows,
        threshold, monitor, error, noise_floor. Policies decide at each instant, on all signals until then.
    cost
        The cost of one retraining, in accuracy x batches; repeat for more.
    seeds
        The number of seeds of the model to average over.
    window
        The number of batches a model is trained on.
    labels_late
        The delay of labels, in batches.
    period
        The time that a batch stands for; cooldowns, freezes and budgets use it.
    shuffle
        Shuffle the rows first: a control without drift.
    out
        File for the picture: .png, or .html with the table.
    cache
        Folder for slow results; deleting it costs only time.
    json
        Print one JSON object.
    """
    if (stream is None) == (signals is None):
        raise InvalidStream(
            "give exactly one of --stream and --signals",
            advice="--stream FILE --label COLUMN --batch COLUMN|ROWS for labelled rows; --signals FILE for signals",
        )
    if stream is None:
        assert signals is not None
        _refuse_beside_signals(label=label, batch=batch, shuffle=shuffle, out=out)
        _replay_recorded(signals, _contenders(policies, period), as_json=json)
        return
    history = _history(stream, label, batch, window, shuffle=shuffle)
    options = {"costs": cost, "seeds": range(seeds), "window": window, "labels_late": labels_late}
    _replay_stream(history, _contenders(policies, period), options, cache, out, as_json=json)


def _replay_stream(
    history: "Stream",
    contenders: Sequence["PolicyContender"],
    options: dict[str, Any],
    cache: Path,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from anew.backtest import Work, default_contenders, run_backtest
    from anew.cli.policy.backtest_tables import draw, progress, report_json, show_report

    console = Console(stderr=True, highlight=False)
    every = [*default_contenders(), *(each.contender for each in contenders)]
    processes = 2 if len(history.labels) > _WORTH_A_PROCESS else 1
    with progress(console) as bars:
        work = Work(cache, processes, bars.update_stage)
        report = run_backtest(history, every, **options, work=work)
    if out is not None:
        draw(report, out)
    if as_json:
        print_json(report_json(report, contenders))
        return
    show_report(report, contenders, Console(highlight=False))
    if out is not None:
        console.print(f"picture: {out}")


def _history(stream: Path, label: str | None, batch: str | None, window: int, *, shuffle: bool) -> "Stream":
    from anew.backtest import read_stream, shuffled

    if label is None or batch is None:
        absent = " and ".join(name for name, given in (("--label", label), ("--batch", batch)) if given is None)
        raise InvalidStream(f"--stream also needs {absent}")
    rows = int(batch) if batch.isdecimal() else batch
    history = read_stream(stream, label=label, batch=rows, window=window)
    return shuffled(history, 0) if shuffle else history


def _refuse_beside_signals(**given: object) -> None:
    stray = [f"--{name}" for name, value in given.items() if value]
    if stray:
        raise InvalidStream(f"{', '.join(stray)}: for --stream only, not for --signals", advice="Leave it out")


def _replay_recorded(file: Path, contenders: Sequence["PolicyContender"], *, as_json: bool) -> None:
    from anew.backtest.history.signal_file import read_signals
    from anew.backtest.strategies.recorded import replay_signals
    from anew.cli.policy.backtest_tables import show_recorded

    signals = read_signals(file)
    replays = [replay_signals(each.policy, signals, each.name) for each in contenders]
    if as_json:
        print_json({"signals": file, "policies": [each.as_json() for each in replays]})
    else:
        show_recorded(file, replays, Console(highlight=False))


def _contenders(files: Sequence[Path], period: timedelta) -> list["PolicyContender"]:
    from anew.adapters.policy_folder import load_policy_files
    from anew.backtest.contest import HINDSIGHT, ORACLE, default_contenders
    from anew.backtest.strategies.policies import PolicyContender
    from anew.settings import load_settings

    chosen = tuple(dict.fromkeys(files or _all_in(load_settings().policies)))
    taken = [ORACLE, HINDSIGHT, *(each.name for each in default_contenders()), *(file.stem for file in chosen)]
    found: list[PolicyContender] = []
    for file in chosen:
        entries = load_policy_files([file], placeholders(), check_paths=False).entries
        name = file.stem if taken.count(file.stem) == 1 else str(file)
        names = [name] if len(entries) == 1 else [f"{name}:{entry.policy.model}" for entry in entries]
        found += [PolicyContender(entry.policy, name, period) for entry, name in zip(entries, names, strict=True)]
    return found


def _all_in(folder: Path) -> list[Path]:
    """All policies of the folder, and its defaults if they are a whole policy except for the model."""
    from anew.adapters.policy_folder import DEFAULTS, policy_files, read_defaults_file

    files = policy_files(folder)
    return [file for file in files if file.name not in DEFAULTS or "when" in read_defaults_file(file).data]


def placeholders() -> Placed:
    """The parts that a replay does not use. With this layer below, a file needs only `when` and its limits."""
    from anew.core.policies.yaml_reader import read_yaml

    launcher = "{launcher: {kind: aml, job: none}}"
    text = f"{{model: any, monitors: [any], retrain: {launcher}, evaluate: {{job: none}}}}"
    placed, _ = read_yaml(text, "placeholders")
    assert placed is not None
    return placed
