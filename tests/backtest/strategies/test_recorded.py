"""Policies over recorded signals: what a file may hold, and what a policy would have done."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.backtest.history.signal_file import read_signals
from anew.backtest.strategies.policies import would_have_retrained
from anew.backtest.strategies.recorded import RecordedReplay, replay_signals
from anew.cli.policy.backtest import placeholders
from anew.core.decisions.decide import compile_policy, decide
from anew.core.decisions.decision import Outcome
from anew.core.evidence.signals import Evidence, Signal
from anew.core.policies.policy import Policy
from anew.core.policies.text import read_policies
from anew.errors import InvalidStream
from tests.core.rules.samples import SPECIMENS

START = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PSI = {"kind": "threshold", "metric": "psi", "above": 0.2}
HEAD = "metric,value,at,feature,rows,threshold,monitor,error,noise_floor\n"


def policy(when: dict[str, Any] = PSI, **others: Any) -> Policy:
    text = json.dumps({"apiVersion": "anew/v1", "when": when, **others})
    return read_policies(text, "mine.yaml", placeholders())[0].policy


def psi(*values: float | None, every: timedelta = DAY) -> list[Signal]:
    return [Signal("psi", value, "recorded", START + number * every) for number, value in enumerate(values)]


def days(played: RecordedReplay) -> list[int]:
    return [(each.at - START).days for each in played.retrained]


def written(folder: Path, text: str | bytes, name: str = "signals.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- replay -----------------------------------------------------------------------------------------------


def test_each_instant_is_decided_once() -> None:
    """Each instant is decided once and counted by its outcome."""
    played = replay_signals(policy(), [*psi(None, 0.1, 0.3, 0.1, 0.4), *psi(None, 0.1)], "mine")
    assert played.outcomes == {
        Outcome.RETRAIN: 2, Outcome.HOLD: 2, Outcome.BLOCKED: 0, Outcome.INSUFFICIENT: 1, Outcome.ERROR: 0
    }  # fmt: skip
    assert (played.instants, days(played)) == (5, [2, 4])
    assert played.retrained[0].sentence == "retrain: psi 0.3 is above 0.2 (recorded, 2026-07-03)"


def test_signal_order_does_not_matter() -> None:
    """The order of signals makes no difference."""
    signals = psi(0.1, 0.3, 0.1, 0.4, 0.5)
    assert replay_signals(policy(), signals[::-1], "mine") == replay_signals(policy(), signals, "mine")


def test_replay_ignores_later_signals() -> None:
    """Later signals change no earlier decision of a replay."""
    signals = psi(0.1, 0.3, 0.1, 0.4, 0.5, 0.1, 0.3)
    whole = replay_signals(policy(), signals, "mine").retrained
    for count in range(1, len(signals)):
        now = signals[count - 1].at
        short = replay_signals(policy(), signals[:count], "mine")
        assert short.retrained == tuple(each for each in whole if each.at <= now)


@st.composite
def recorded(draw: st.DrawFn) -> list[Signal]:
    values = st.sampled_from([None, 0.0, 0.1, 0.3, 0.9])
    made = st.builds(
        lambda day, metric, value, feature, rows: Signal(
            metric, value, "recorded", START + day * 5 * DAY, feature, 0.2, "m", rows
        ),
        st.integers(0, 15), st.sampled_from(["psi", "PSI", "accuracy", "gain", "monitor_failed"]), values,
        st.sampled_from([None, "a", "b"]), st.sampled_from([None, 10, 1000]),
    )  # fmt: skip
    return draw(st.lists(made, min_size=1, max_size=40))


RULES = [PSI, {"kind": "any", "rules": [PSI, {"kind": "performance_drop", "drop": 0.1}]}]
RULES += [rule for kind in SPECIMENS.values() for rule in kind]


@given(recorded(), st.sampled_from(RULES), st.sampled_from(RULES), st.sampled_from([0, 100]))
def test_replay_equals_direct_decisions(
    signals: list[Signal], when: dict[str, Any], block: dict[str, Any], least: int
) -> None:
    """A replay decides as `decide` on all signals up to each instant."""
    asked = policy(when, block_when=block, evidence={"min_rows": least, "max_age": "20d"})
    compiled, times = compile_policy(asked), []
    outcomes: Counter[Outcome] = Counter()
    for now in sorted({signal.at for signal in signals}):
        known = Evidence(tuple(signal for signal in signals if signal.at <= now))
        outcome = decide(compiled, known, would_have_retrained(asked, times), now).outcome
        outcomes[outcome] += 1
        times += [now] if outcome is Outcome.RETRAIN else []
    played = replay_signals(asked, signals, "mine")
    assert Counter(played.outcomes) == outcomes
    assert [each.at for each in played.retrained] == times


def test_cooldown_counts_from_retrainings() -> None:
    """The cooldown counts from the retrainings that the replay would have started."""
    assert days(replay_signals(policy(limits={"cooldown": "3d"}), psi(*[0.3] * 8), "mine")) == [0, 3, 6]


def test_budget_is_charged() -> None:
    """The budget is charged for each retraining."""
    budget = {"unit": "EUR", "limit": 10, "window": "5d", "per_retraining": 4}
    assert days(replay_signals(policy(limits={"budget": budget}), psi(*[0.3] * 8), "mine")) == [0, 1, 5, 6]


def test_readings_before_retraining_ignored() -> None:
    """Readings from before a retraining do not count after it."""
    summed = {"kind": "cusum", "metric": "psi", "target": 0.1, "limit": 0.5}
    assert days(replay_signals(policy(summed), psi(*[0.3] * 8), "mine")) == [2, 5]


def test_blocks_and_errors_are_counted() -> None:
    """Blocked decisions and rules that fail are counted as such."""
    failed = Signal("monitor_failed", 1.0, "recorded", START + DAY, monitor="m")
    played = replay_signals(policy(block_when={"kind": "monitor_failed"}), [*psi(0.3, 0.3), failed], "mine")
    assert (played.outcomes[Outcome.RETRAIN], played.outcomes[Outcome.BLOCKED]) == (1, 1)
    ratio = {"kind": "cel", "expr": "1 / int(x) > 1", "variables": {"x": {"metric": "psi"}}}
    assert replay_signals(policy(ratio), psi(0.0), "mine").outcomes[Outcome.ERROR] == 1


def test_shadow_policy_is_replayed() -> None:
    """A policy in shadow mode is replayed as any other."""
    assert days(replay_signals(policy(mode="shadow"), psi(0.1, 0.3), "mine")) == [1]


def test_gain_rule_weighs_policy_cost() -> None:
    """A gain rule weighs the cost of its policy."""
    gains = [Signal("gain", 0.02, "recorded", START + day * DAY, rows=10_000, error=0.001) for day in range(8)]
    when = {"kind": "gain_cusum", "allowance": 0}
    assert days(replay_signals(policy(when, retrain={"cost": 0.1}), gains, "mine")) == [2, 5]
    assert days(replay_signals(policy(when, retrain={"cost": 0.2}), gains, "mine")) == [4]


def test_unseen_metrics_are_named() -> None:
    """Metrics without a signal are named."""
    both = {"kind": "any", "rules": [PSI, {"kind": "threshold", "metric": "accuracy", "below": 0.8}]}
    played = replay_signals(policy(both), psi(0.1), "mine")
    assert played.unseen == {"accuracy"}
    assert played.as_json()["cannot_see"] == ["accuracy"]
    assert "cannot_see" not in replay_signals(policy(), psi(0.1), "mine").as_json()


# --- files ------------------------------------------------------------------------------------------------


def test_table_has_every_field(tmp_path: Path) -> None:
    """A table may contain every field of a signal, or only the required ones."""
    text = HEAD + "psi,0.3,2026-07-01T02:00:00+02:00,price,500.0,0.2,m,0.01,0.1\n\npsi,,2026-07-02T00:00:00Z,,,,,,\n"
    full, bare = read_signals(written(tmp_path, text))
    assert full == Signal("psi", 0.3, "recorded", START, "price", 0.2, "m", 500, 0.1, 0.01)
    assert bare == Signal("psi", None, "recorded", START + DAY)


def test_json_lines_equal_table(tmp_path: Path) -> None:
    """JSON Lines give the same signals as a table."""
    table = written(tmp_path, HEAD + "psi,0.3,2026-07-01T00:00:00Z,price,500,0.2,m,,0.1\n")
    row = {
        "metric": "psi", "value": 0.3, "at": "2026-07-01T00:00:00Z", "feature": "price", "rows": 500,
        "threshold": 0.2, "monitor": "m", "error": None, "noise_floor": 0.1, "run": {"id": 7},
    }  # fmt: skip
    lines = written(tmp_path, json.dumps(row) + "\n\n", "signals.jsonl")
    assert read_signals(lines) == read_signals(table)


def test_column_order_does_not_matter(tmp_path: Path) -> None:
    """Columns may be in any order and beside others."""
    text = "\ufeffrun,at,value,metric\n7,2026-07-01T00:00:00Z,NaN,psi\n"
    assert read_signals(written(tmp_path, text)) == (Signal("psi", None, "recorded", START),)


GOOD = "psi,0.3,2026-07-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("metric,at\n", r":1: no column 'value'; it has metric, at"),
        ("", r":1: no column 'metric'; it has none"),
        ("metric,value,at\n", "holds no signal"),
        (f"metric,value,at\n{GOOD}\n,0.3,2026-07-01T00:00:00Z\n", r":3: metric must be text, found nothing"),
        ("metric,value,at\npsi,high,2026-07-01T00:00:00Z\n", r":2: value must be a number, or empty, found 'high'"),
        ("metric,value,at\npsi,0.3,2026-07-01T00:00:00\n", r":2: at must be a time with its offset"),
        ("metric,value,at\npsi,0.3,yesterday\n", r":2: at must be a time with its offset.* found 'yesterday'"),
        ("metric,value,at\npsi,0.3,0001-01-01T00:00:00Z\n", r":2: at must be a time"),
        ("metric,value,at\npsi,0.3\n", r":2: at must be text, found nothing"),
        (f'metric,value,at\n"p\nsi",0.3,2026-07-01T00:00:00Z\n{GOOD},1\n', r":4: has more fields"),
        (f"metric,value,at,rows\n{GOOD},1.5\n", r":2: rows must be a whole number, or empty, found '1.5'"),
        (f"metric,value,at,rows\n{GOOD},-1\n", r":2: rows must be a whole number"),
        (f"metric,value,at,rows\n{GOOD},inf\n", r":2: rows must be a whole number"),
        (f"metric,value,at,noise_floor\n{GOOD},low\n", r":2: noise_floor must be a number"),
        (f'metric,value,at\n{GOOD}\n"psi', r"is not CSV"),
        (b"metric,value,at\n\xff\n", "is not UTF-8 text"),
    ],
)
def test_invalid_table_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    """A table that cannot be used is refused with line and column."""
    with pytest.raises(InvalidStream, match=told):
        read_signals(written(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r":2: is not JSON"),
        ("[" * 100_000, r":2: is not JSON"),
        ("[]", r":2: is not a JSON object"),
        ('{"metric": "psi", "value": 1}', r":2: at must be text, found nothing"),
        ('{"metric": 7, "value": 1}', r":2: metric must be text, found 7"),
        ('{"metric": "psi", "value": true}', r":2: value must be a number, or empty, found True"),
        ('{"metric": "psi", "value": [1]}', r":2: value must be a number"),
        ('{"metric": "psi", "value": 1' + "0" * 400 + "}", r":2: value must be a number"),
    ],
)
def test_invalid_json_line_is_refused(tmp_path: Path, line: str, told: str) -> None:
    """A line of JSON that cannot be used is refused with its number."""
    with pytest.raises(InvalidStream, match=told):
        read_signals(written(tmp_path, f"\n{line}\n", "signals.jsonl"))


@pytest.mark.parametrize("name", ["absent.csv", "absent.jsonl", "signals.xlsx"])
def test_other_file_is_refused(tmp_path: Path, name: str) -> None:
    """A file that is missing or of another kind is refused with advice."""
    with pytest.raises(InvalidStream, match=name) as raised:
        read_signals(tmp_path / name)
    assert raised.value.advice.startswith("Signals are a CSV or JSON Lines file with the columns metric, value, at")
