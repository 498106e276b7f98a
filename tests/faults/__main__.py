"""`make faults`: every gap of every story, on SQLite and on PostgreSQL; then local Azure killed at every journal entry.

Fails with the story of each case that did not end as it must.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from tests.faults.all_stories import STORIES
from tests.faults.boundaries import all_gaps
from tests.faults.campaign import AzureCase, Case, NewLedger, Outcome, Stage, prepared_stage
from tests.postgres import running_postgres

_TOLD_EVERY = 50
AZURE_STORIES = ("pipeline", "silent job", "cancel", "release")


def main() -> int:
    """Play everything. Returns 1 when anything was lost, done twice or left running."""
    with (
        tempfile.TemporaryDirectory(prefix="anew-faults-") as folder,
        running_postgres() as postgres,
        prepared_stage(Path(folder)) as stage,
    ):
        began = time.monotonic()
        cases = list(_cases(stage))
        outcomes = [
            *_play(stage, cases, "SQLite", lambda: nullcontext(None)),
            *_play(stage, cases, "PostgreSQL", postgres.empty_ledger),
            *_play(stage, list(_azure_cases(stage)), "local Azure", lambda: nullcontext(None)),
        ]
    _print_summary("all", outcomes, time.monotonic() - began)
    return 0 if all(outcome.verdict.is_good for outcome in outcomes) else 1


def _cases(stage: Stage) -> Iterator[Case]:
    for story in STORIES:
        calls = stage.rehearse(story)
        yield from (Case(story, gap, calls) for gap in all_gaps(calls))


def _azure_cases(stage: Stage) -> Iterator[AzureCase]:
    for story in AZURE_STORIES:
        lifetimes = range(1, stage.journal_growth(story))
        yield from (AzureCase(story, lifetime, durable) for lifetime in lifetimes for durable in (True, False))


def _play(stage: Stage, cases: Sequence[Case | AzureCase], where: str, new_ledger: NewLedger) -> list[Outcome]:
    began = time.monotonic()
    outcomes: list[Outcome] = []
    for outcome in stage.play_all(cases, new_ledger):
        outcomes.append(outcome)
        if not outcome.verdict.is_good:
            print(f"\n{where}: {outcome.case}: {outcome.verdict}\n{outcome.story}", flush=True)
        if len(outcomes) % _TOLD_EVERY == 0:
            print(f"{where}: {len(outcomes)} of {len(cases)} points", flush=True)
    _print_summary(where, outcomes, time.monotonic() - began)
    return outcomes


def _print_summary(where: str, outcomes: Sequence[Outcome], seconds: float) -> None:
    verdicts = [outcome.verdict for outcome in outcomes]
    print(
        f"{where}: {len(outcomes)} points, {len(outcomes)} killed,"
        f" {sum(len(each.duplicates) for each in verdicts)} duplicates,"
        f" {sum(len(each.lost) for each in verdicts)} lost,"
        f" {sum(len(each.orphans) for each in verdicts)} orphans ({seconds:.0f} s)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
