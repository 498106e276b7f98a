"""`anew policy backtest`: what it prints over labelled rows and over recorded signals, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from anew.cli import app
from anew.errors import InvalidPolicy, InvalidStream
from tests.backtest.made_streams import stream_file

MINE = "apiVersion: anew/v1\nwhen: {kind: threshold, metric: accuracy, below: 0.8}\n"
SHIPPED_DEFAULT = Path(__file__).parents[3] / "policies" / "default.yaml"
SCORES = {"lambda", "accuracy", "retrains", "needless", "cost", "excess_cost"}
COSTS = [0.05, 0.2]
SIGNALS = """\
metric,value,at
accuracy,0.9,2026-07-01T00:00:00Z
accuracy,,2026-07-02T00:00:00Z
accuracy,0.7,2026-07-03T00:00:00Z
accuracy,0.7,2026-07-03T06:00:00Z
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small stream, and the cache of all tests here: models are trained once."""
    folder = tmp_path_factory.mktemp("history")
    stream_file(folder, batches=9, turn_at=6)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANEW_SETTINGS", raising=False)
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "signals.csv").write_text(SIGNALS)
    return tmp_path


def over_rows(shared: Path, *others: str) -> list[str]:
    options = ["--stream", str(shared / "made.parquet"), "--label", "label", "--batch", "week", "--window", "4"]
    costs = [text for cost in COSTS for text in ("--cost", str(cost))]
    return ["policy", "backtest", *options, *costs, "--cache", str(shared / "cache"), *others]


def told(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> dict[str, Any]:
    app([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


# --- labelled rows ----------------------------------------------------------------------------------------


def test_policies_are_scored_per_cost(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each policy is scored at each cost beside the baselines."""
    said = told(capsys, over_rows(shared, "mine.yaml", str(SHIPPED_DEFAULT)))
    assert (said["stream"], said["batches"], said["rows"], said["window"], said["seeds"]) == ("made", 9, 900, 4, [0])
    policies = {each["policy"]: each for each in said["policies"]}
    assert {"mine", "default", "oracle", "never", "every-batch", "azure-ml-default", "adaptive-gain-cusum"} <= set(
        policies
    )
    for each in policies.values():
        assert [score["lambda"] for score in each["by_lambda"]] == COSTS
        assert all(set(score) == SCORES for score in each["by_lambda"])
        assert each["total_excess_cost"] == pytest.approx(sum(score["excess_cost"] for score in each["by_lambda"]))
        assert each["total_excess_cost"] >= -1e-9
    assert policies["mine"]["by_lambda"][0]["retrains"] >= 1


def test_shipped_default_is_replayed(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped default works as a policy and scores as its rule."""
    said = told(capsys, over_rows(shared, str(SHIPPED_DEFAULT)))
    scores = {each["policy"]: each["by_lambda"] for each in said["policies"]}
    assert scores["default"] == scores["adaptive-gain-cusum"]


def test_second_run_uses_the_cache(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run prints the same and trains nothing."""
    first = told(capsys, over_rows(shared, "mine.yaml"))
    kept = {file: file.stat().st_mtime_ns for file in (shared / "cache").iterdir()}
    assert kept
    assert told(capsys, over_rows(shared, "mine.yaml")) == first
    assert {file: file.stat().st_mtime_ns for file in (shared / "cache").iterdir()} == kept


def test_output_is_a_table(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--json` the output is a table with the policy in it."""
    (folder / "mine.yaml").write_text(MINE.replace("accuracy", "requests"))
    app(over_rows(shared, "mine.yaml"))
    shown = capsys.readouterr().out
    assert shown.startswith("made: 9 batches, 900 rows\n")
    assert "mine asks for requests, which a stream does not contain" in shown
    assert any(line.startswith("oracle ") for line in shown.splitlines())


def test_picture_is_written(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture is written as PNG or HTML to the given path."""
    told(capsys, over_rows(shared, "mine.yaml", "--out", "new/picture.png"))
    assert (folder / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")
    app(over_rows(shared, "mine.yaml", "--out", "picture.html"))
    assert "picture: picture.html" in capsys.readouterr().err
    page = (folder / "picture.html").read_text()
    assert "data:image/png;base64," in page
    assert "<td>mine</td>" in page


def test_shuffled_rows_need_no_retraining(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shuffled rows need no retraining."""
    # Before the turn only: shuffling it in would leave nothing to learn.
    folder_of_still = shared / "still"
    folder_of_still.mkdir()
    stream = stream_file(folder_of_still, batches=8)
    arguments = ["policy", "backtest", "mine.yaml", "--stream", str(stream), "--label", "label", "--batch", "100"]
    said = told(capsys, [*arguments, "--window", "4", "--shuffle"])
    assert said["stream"] == "made-shuffled"
    retrains = {each["policy"]: each["by_lambda"][0]["retrains"] for each in said["policies"]}
    assert (retrains["mine"], retrains["adaptive-gain-cusum"], retrains["every-batch"]) == (0, 0, 3)
    assert (folder / ".anew" / "cache").is_dir()


def test_equal_names_show_their_folders(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of the same name are distinguished by their folders."""
    (folder / "other").mkdir()
    (folder / "other" / "mine.yaml").write_text(MINE.replace("0.8", "-1"))
    said = told(capsys, over_rows(shared, "mine.yaml", "other/mine.yaml"))
    retrains = {each["policy"]: each["by_lambda"][0]["retrains"] for each in said["policies"]}
    assert retrains["other/mine.yaml"] == 0 < retrains["mine.yaml"]


def test_baseline_name_is_not_replaced(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file named like a baseline does not replace it."""
    (folder / "mine.yaml").rename(folder / "never.yaml")
    said = told(capsys, over_rows(shared, "never.yaml"))
    retrains = {each["policy"]: each["by_lambda"][0]["retrains"] for each in said["policies"]}
    assert retrains["never"] == 0 < retrains["never.yaml"]


def test_settings_folder_without_jobs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file the folder of the settings is replayed, also when its jobs are missing."""
    (folder / "policies").mkdir()
    whole = "model: MODEL\nmonitors: [m]\nretrain: {launcher: {kind: aml, job: absent.yml}}\nevaluate: {job: no.yml}\n"
    for model in ("elec2", "weather"):
        (folder / "policies" / f"{model}.yaml").write_text(MINE + whole.replace("MODEL", model))
    said = told(capsys, ["policy", "backtest", "--signals", "signals.csv"])
    assert [each["policy"] for each in said["policies"]] == ["elec2", "weather"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--label", "why"], "no column 'why'"),
        (["--batch", "month"], "no column 'month'"),
        (["--batch", "700"], "1 batches; a window of 4"),
        (["--stream", "absent.csv"], r"absent\.csv cannot be read"),
        (["--stream", "mine.yaml"], r"mine\.yaml is neither Parquet nor CSV"),
    ],
)
def test_unusable_rows_are_refused(folder: Path, shared: Path, changes: list[str], message: str) -> None:
    """Rows that cannot be replayed are refused with the reason."""
    given = dict(zip((pairs := over_rows(shared)[2:])[::2], pairs[1::2], strict=True))
    given |= {changes[0]: changes[1]}
    with pytest.raises(InvalidStream, match=message):
        app(["policy", "backtest", "mine.yaml", *(text for pair in given.items() for text in pair)])


def test_invalid_policy_is_refused(folder: Path) -> None:
    """An invalid policy is refused with its line."""
    (folder / "mine.yaml").write_text(MINE.replace("below", "under"))
    with pytest.raises(InvalidPolicy, match=r"mine\.yaml:2: when"):
        app(["policy", "backtest", "mine.yaml", "--signals", "signals.csv"])


# --- recorded signals -------------------------------------------------------------------------------------


def test_recorded_signals_show_retrainings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over recorded signals the JSON shows when a policy would have retrained."""
    (folder / "eager.yaml").write_text(MINE + "limits: {cooldown: 1h}\n")
    said = told(capsys, ["policy", "backtest", "mine.yaml", "eager.yaml", "--signals", "signals.csv"])
    assert said["signals"] == "signals.csv"
    mine, eager = said["policies"]
    assert mine == {
        "policy": "mine",
        "instants": 4,
        "retrains": 1,
        "outcomes": {"retrain": 1, "hold": 2, "blocked": 0, "insufficient": 1, "error": 0},
        "retrained": [
            {
                "at": "2026-07-03T00:00:00+00:00",
                "sentence": "retrain: accuracy 0.7 is below 0.8 (recorded, 2026-07-03)",
            }
        ],
    }
    assert (eager["policy"], eager["retrains"], eager["outcomes"]["hold"]) == ("eager", 2, 1)


def test_recorded_signals_as_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over recorded signals the text shows the counts and each retraining with its reason."""
    app(["policy", "backtest", "mine.yaml", str(SHIPPED_DEFAULT), "--signals", "signals.csv"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "signals.csv: 4 decisions"
    assert lines[1].split() == ["policy", "retrain", "hold", "blocked", "insufficient", "error"]
    assert [line.split() for line in lines[2:4]] == [
        ["mine", "1", "2", "0", "1", "0"],
        ["default", "0", "0", "0", "4", "0"],
    ]
    assert lines[4:] == [
        "mine 2026-07-03 00:00:00+00:00 retrain: accuracy 0.7 is below 0.8 (recorded, 2026-07-03)",
        "default asks for gain, but the file has no such signal",
    ]


def test_unusable_signals_are_refused(folder: Path) -> None:
    """Signals that cannot be replayed are refused with their line."""
    (folder / "signals.csv").write_text(SIGNALS.replace("0.9", "high"))
    with pytest.raises(InvalidStream, match=r"signals\.csv:2: value must be a number, or empty, found 'high'"):
        app(["policy", "backtest", "mine.yaml", "--signals", "signals.csv"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give exactly one of --stream and --signals"),
        (["--stream", "a.csv", "--signals", "signals.csv"], "give exactly one of --stream and --signals"),
        (["--stream", "a.csv"], "--stream also needs --label and --batch"),
        (["--stream", "a.csv", "--label", "y"], "--stream also needs --batch"),
        (["--signals", "signals.csv", "--label", "y", "--out", "a.png"], "--label, --out: for --stream only"),
        (["--signals", "signals.csv", "--shuffle"], "--shuffle: for --stream only"),
    ],
)
def test_conflicting_options_are_refused(folder: Path, arguments: list[str], message: str) -> None:
    """Options that conflict or are incomplete are refused."""
    with pytest.raises(InvalidStream, match=message):
        app(["policy", "backtest", "mine.yaml", *arguments])


@pytest.mark.parametrize(
    "option", [["--cost", "0"], ["--seeds", "0"], ["--window", "0"], ["--labels-late", "-1"], ["--period", "soon"]]
)
def test_invalid_numbers_are_refused(folder: Path, shared: Path, option: list[str]) -> None:
    """Option values out of range are refused."""
    with pytest.raises(SystemExit) as raised:
        app(["policy", "backtest", "mine.yaml", *over_rows(shared)[2:8], *option])
    assert raised.value.code not in (0, None)


def test_folder_includes_its_defaults(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without files every policy of the folder is replayed, and its defaults as a policy too."""
    (folder / "policies").mkdir()
    (folder / "policies" / "default.yaml").write_text(MINE)
    (folder / "policies" / "mine.yaml").write_text("apiVersion: anew/v1\n")
    said = told(capsys, over_rows(shared))
    assert [each["policy"] for each in said["policies"]][-2:] == ["default", "mine"]
