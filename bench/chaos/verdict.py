"""The count, by what local Azure noted itself, held against what was sent and what the ledger says."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anew.core.events.event import Cause
from anew.core.retrainings.lifecycle import Retraining
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.ledger import Ledger
from bench.chaos.broker import Told

_ENDED = frozenset({"Succeeded", "Failed", "Cancelled", "Completed", "Canceled"})
_EVALUATION = re.compile(r"evaluate(-(?P<time>\d+))?$")
Journal = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What went wrong, each with a sentence for every case, and whose retraining it was."""

    duplicates: tuple[str, ...]
    lost: tuple[str, ...]
    orphaned: tuple[str, ...]
    wrongly_cancelled: tuple[str, ...]
    believed: tuple[str, ...]
    trainings: int
    cancelled: int

    @property
    def ok(self) -> bool:
        """Whether nothing did."""
        return not (self.duplicates or self.lost or self.orphaned or self.wrongly_cancelled or self.believed)

    @property
    def line(self) -> str:
        """The last line of a run."""
        return (
            f"duplicates {len(self.duplicates)}, lost {len(self.lost)}, orphaned {len(self.orphaned)}, "
            f"wrongly cancelled {len(self.wrongly_cancelled)}, forged believed {len(self.believed)}"
        )


@dataclass(frozen=True)
class _Run:
    """A pipeline run or a job, as the journal has it. A candidate may be evaluated again, such as against another
    champion; each time is a *kind* of its own: `evaluate`, `evaluate-2`.
    """

    id: str
    retraining_id: str
    kind: str

    @property
    def evaluation(self) -> int:
        """Which of the candidate's evaluations this is; 0 for a training."""
        named = _EVALUATION.search(self.kind)
        return int(named.group("time") or 1) if named else 0


def judge(ledger: Ledger, journal: Journal, told: Told) -> Verdict:
    """Count what must never be."""
    entries = list(journal)
    runs = [run for entry in entries if (run := _created(entry)) is not None]
    status = _last_status(entries)
    known = {item.id: item for item in ledger.retrainings(limit=100_000)}
    cancels = _cancels(entries)
    return Verdict(
        duplicates=(*_duplicates(runs, known), *_decided_twice(ledger)),
        lost=tuple(_lost(ledger, told)),
        orphaned=tuple(_orphans(runs, status, known)),
        wrongly_cancelled=tuple(_wrongly_cancelled(runs, cancels, known)),
        believed=tuple(_believed(ledger, told)),
        trainings=sum(run.kind in {"pipeline", "train"} for run in runs),
        cancelled=len(cancels),
    )


def _created(entry: Mapping[str, Any]) -> _Run | None:
    match entry["action"]:
        case "pipeline_run.created":
            return _Run(entry["run_id"], entry["parameters"].get(RETRAINING_TAG, "?"), "pipeline")
        case "job.created":
            evaluation = _EVALUATION.search(entry["name"])
            kind = evaluation.group() if evaluation else "train"
            return _Run(entry["name"], entry["tags"].get(RETRAINING_TAG, "?"), kind)
        case _:
            return None


def _last_status(entries: Journal) -> dict[str, str]:
    status: dict[str, str] = {}
    for entry in entries:
        if entry["action"] == "pipeline_run.ended":
            status[entry["run_id"]] = entry["status"]
        elif entry["action"] == "job.status":
            status[entry["name"]] = entry["status"]
    return status


def _cancels(entries: Journal) -> set[str]:
    runs = {entry["run_id"] for entry in entries if entry["action"] == "pipeline_run.cancel_requested"}
    return runs | {entry["name"] for entry in entries if entry["action"] == "job.cancel_requested"}


def _duplicates(runs: list[_Run], known: Mapping[str, Retraining]) -> Iterable[str]:
    counted = Counter((run.retraining_id, run.kind) for run in runs)
    for (retraining_id, kind), count in counted.items():
        if count > 1:
            yield f"{retraining_id}: {count} runs of kind {kind}"
    for run in runs:
        if run.retraining_id in known and run.evaluation > known[run.retraining_id].evaluations:
            yield f"{run.retraining_id}: {run.id} was made, and nobody asked for it"
    decisions = Counter(item.decision_id for item in known.values())
    yield from (f"{decision}: {count} retrainings" for decision, count in decisions.items() if count > 1)


def _decided_twice(ledger: Ledger) -> Iterable[str]:
    decided = ledger.decisions(limit=100_000)
    counted = Counter((decision.model, key) for decision in decided for key in decision.covers)
    yield from (f"{model}: {count} decisions about {key}" for (model, key), count in counted.items() if count > 1)


def _lost(ledger: Ledger, told: Told) -> Iterable[str]:
    expected = told.acked | set(told.real)
    kept = ledger.known_keys(expected)
    yield from (f"{key}: not in the inbox" for key in sorted(expected - kept))
    yield from (f"{entry.key}: never answered" for entry in ledger.unsettled(list(Cause)))
    trained = {item.model for item in ledger.retrainings(limit=100_000)}
    drifted = frozenset[str]().union(*told.real.values())
    yield from (f"{model}: drifted, and was never trained" for model in sorted(drifted - trained))


def _orphans(runs: list[_Run], status: Mapping[str, str], known: Mapping[str, Retraining]) -> Iterable[str]:
    for run in runs:
        if run.retraining_id not in known:
            yield f"{run.retraining_id}: the ledger does not know it, its {run.kind} run {run.id} was made"
        elif status.get(run.id) not in _ENDED:
            state = known[run.retraining_id].state
            yield f"{run.retraining_id}: it is {state}, its {run.kind} run {run.id} is {status.get(run.id)}"
    yield from (f"{item.id}: still {item.state}" for item in known.values() if item.is_open)


def _wrongly_cancelled(runs: list[_Run], cancels: set[str], known: Mapping[str, Retraining]) -> Iterable[str]:
    for run in runs:
        retraining = known.get(run.retraining_id)
        if run.id in cancels and retraining is not None and retraining.stopped_for is None:
            yield f"{run.retraining_id}: nobody gave it up, its {run.kind} run {run.id} was cancelled"


def _believed(ledger: Ledger, told: Told) -> Iterable[str]:
    for decision in ledger.decisions(limit=100_000):
        if decision.retraining_id and set(decision.covers) <= told.forged:
            yield f"{decision.retraining_id}: decided on forged events alone"
