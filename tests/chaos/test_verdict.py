"""The count of a chaos run sees each thing that must never be, and nothing where nothing is wrong."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from anew.adapters.memory.azure import Ending
from anew.core.retrainings.lifecycle import StopCause
from anew.engine.base.ports import RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.training.stopping import stop
from bench.chaos.broker import Told
from bench.chaos.plan import make_plan
from bench.chaos.verdict import Verdict, judge
from tests.builders import MODEL, PIPELINE, Play, drift_event
from tests.contract.rows import record

Entry = dict[str, Any]


def run_of(play: Play) -> tuple[list[Entry], Told]:
    """One training that ended, as local Azure's journal and the broker have it."""
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    item = play.retraining
    journal: list[Entry] = [
        {"action": "pipeline_run.created", "run_id": "run-1", "parameters": {"anew_retraining_id": item.id}},
        {"action": "job.created", "name": item.job_name, "tags": {"anew_retraining_id": item.id}},
        {"action": "job.status", "name": item.job_name, "status": "Completed"},
        {"action": "pipeline_run.ended", "run_id": "run-1", "status": "Succeeded"},
    ]
    play.tick_until(lambda: not play.retraining.is_open)
    key = drift_event().key
    return journal, Told(real={key: frozenset({MODEL})}, acked={key})


def test_run_without_a_fault_counts_nothing() -> None:
    """A run without faults has a verdict of zeros."""
    play = Play()
    journal, told = run_of(play)

    verdict = judge(play.ledger, journal, told)

    assert verdict.ok
    assert verdict.line == "duplicates 0, lost 0, orphaned 0, wrongly cancelled 0, forged believed 0"


def duplicated(journal: list[Entry], _: Told) -> None:
    journal.append({**journal[0], "run_id": "run-2"})
    journal.append({**journal[3], "run_id": "run-2"})


def evaluated_twice(journal: list[Entry], _: Told) -> None:
    again = {**journal[1], "name": "other-evaluate"}
    journal += [again, again, {**journal[2], "name": "other-evaluate"}]


def evaluated_unasked(journal: list[Entry], _: Told) -> None:
    name = f"{journal[1]['name'].removesuffix('-train')}-evaluate-2"
    journal += [{**journal[1], "name": name}, {**journal[2], "name": name}]


def lost(_: list[Entry], told: Told) -> None:
    told.acked.add("drift|elsewhere|run")


def never_delivered(_: list[Entry], told: Told) -> None:
    told.real["drift|elsewhere|run"] = frozenset({MODEL})


def one_of_two_never_trained(_: list[Entry], told: Told) -> None:
    told.real |= dict.fromkeys(told.real, frozenset({MODEL, "demand"}))


def unknown_to_the_ledger(journal: list[Entry], _: Told) -> None:
    journal += [
        {"action": "job.created", "name": "stray", "tags": {"anew_retraining_id": "r-stray"}},
        {"action": "job.status", "name": "stray", "status": "Completed"},
    ]


def left_running(journal: list[Entry], _: Told) -> None:
    del journal[2]


def cancelled_by_nobody(journal: list[Entry], _: Told) -> None:
    journal.append({"action": "pipeline_run.cancel_requested", "run_id": "run-1"})


def believed(_: list[Entry], told: Told) -> None:
    told.forged |= told.acked


@pytest.mark.parametrize(
    ("spoil", "counted"),
    [
        (duplicated, "duplicates"),
        (evaluated_twice, "duplicates"),
        (evaluated_unasked, "duplicates"),
        (lost, "lost"),
        (never_delivered, "lost"),
        (one_of_two_never_trained, "lost"),
        (unknown_to_the_ledger, "orphaned"),
        (left_running, "orphaned"),
        (cancelled_by_nobody, "wrongly_cancelled"),
        (believed, "believed"),
    ],
)
def test_each_violation_is_counted(spoil: Callable[[list[Entry], Told], None], counted: str) -> None:
    """Each violation is counted once, under its own kind."""
    play = Play()
    journal, told = run_of(play)
    spoil(journal, told)

    verdict = judge(play.ledger, journal, told)

    counts = {
        name: len(getattr(verdict, name)) for name in Verdict.__annotations__ if name not in {"trainings", "cancelled"}
    }
    assert counts == {**dict.fromkeys(counts, 0), counted: 1}


def test_duplicate_decisions_are_per_model() -> None:
    """A second decision about an event is a duplicate only for the same model."""
    play = Play()
    journal, told = run_of(play)
    for number, model in enumerate((MODEL, MODEL, "demand")):  # about an event that the ledger cannot guard
        play.ledger.record_decision(record(str(number), model=model, covers=("drift|elsewhere|run",)), None, "me")

    assert judge(play.ledger, journal, told).duplicates == (f"{MODEL}: 2 decisions about drift|elsewhere|run",)


def test_recorded_reevaluation_is_no_duplicate() -> None:
    """A second evaluation that the ledger records is no duplicate."""
    play = Play()
    journal, told = run_of(play)
    evaluated_unasked(journal, told)
    item = play.retraining
    again = replace(item, evaluations=2, evaluation_job=item.next_evaluation_job)
    play.ledger.save_retraining(again, "retried", "me", play.now, {})

    assert judge(play.ledger, journal, told).ok


def test_requested_cancel_is_correct() -> None:
    """A cancel of a run whose retraining was stopped is not wrong."""
    play = Play()
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    stop(play.engine, play.retraining, StopCause.REQUESTED, "enough", play.now)
    play.tick_until(lambda: not play.retraining.is_open)
    journal: list[Entry] = [
        {"action": "pipeline_run.created", "run_id": "run-1", "parameters": {"anew_retraining_id": play.retraining.id}},
        {"action": "pipeline_run.cancel_requested", "run_id": "run-1"},
        {"action": "pipeline_run.ended", "run_id": "run-1", "status": "Cancelled"},
    ]
    key = drift_event().key

    assert judge(play.ledger, journal, Told(real={key: frozenset({MODEL})}, acked={key})).ok


def test_plan_depends_on_its_seed() -> None:
    """Equal seeds give equal plans, and different seeds give different plans."""
    assert make_plan(7, 1000) == make_plan(7, 1000)
    assert make_plan(7, 1000) != make_plan(8, 1000)


def test_plan_has_the_stated_faults() -> None:
    """A plan has the stated share of late and repeated events, shared monitors and kills."""
    plan = make_plan(1, 1000)
    copies = [len(each.deliveries) for each in plan.happenings if each.fate == "delivered"]
    assert (min(copies), max(copies)) == (1, 5)
    late = sum(each.deliveries[0] - each.at > 0.3 for each in plan.happenings if each.deliveries)
    assert 150 < late < 250
    assert max(Counter(each.monitor for each in plan.models).values()) == 3
    assert {kill.victim.partition("-")[0] for kill in make_plan(3, 10).kills + plan.kills} >= {
        "webhook",
        "worker",
        "azure",
    }


def test_frozen_worker_resumes_late() -> None:
    """Every frozen worker resumes after more than ten seconds."""
    for seed in range(20):
        freezes = make_plan(seed, 10).freezes
        stopped = [freeze for freeze in freezes if freeze.stops]
        goes_on = [freeze for freeze in freezes if not freeze.stops]
        pairs = list(zip(stopped, goes_on, strict=True))
        assert len(pairs) > 2
        assert all(end.victim == start.victim and end.at > start.at + 10 for start, end in pairs)
