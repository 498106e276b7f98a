"""What came of a case: local Azure's own journal, compared with what the ledger answers for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.rollouts.naming import deployment_name
from anew.core.rollouts.traffic import nonzero
from anew.engine.base.ledger import Ledger
from anew.engine.history.trace import trace
from anew.errors import NothingKnown
from tests.faults.stories import Story, at_rest
from tests.faults.world import ENDPOINT, MODEL

GIVEN_UP = frozenset({RetrainingState.CANCELED, RetrainingState.FAILED})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was done twice, what was not done, and what runs, or was stopped, without anybody who answers for it."""

    duplicates: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return not (self.duplicates or self.lost or self.orphans)


class Journal:
    """Local Azure's journal, as far as it belongs to the story."""

    def __init__(self, entries: Sequence[Any], since: int) -> None:
        self._all = entries
        self._own = [entry for entry in entries if entry["seq"] > since]

    def of(self, action: str) -> list[Any]:
        """What happened in the story."""
        return [entry for entry in self._own if entry["action"] == action]

    def deployments(self) -> set[str]:
        """Those that exist now."""
        found: set[str] = set()
        for entry in self._all:
            if entry["action"] == "deployment.created":
                found.add(entry["name"])
            elif entry["action"] == "deployment.deleted":
                found.discard(entry["name"])
        return found

    def traffic(self) -> dict[str, int]:
        """The shares that deployments have now."""
        return [entry["traffic"] for entry in self._all if entry["action"] == "endpoint.traffic"][-1]

    def splits(self, action: str) -> list[dict[str, int]]:
        """What traffic was written in the story, one after the other."""
        return [split for split, _ in groupby(nonzero(entry["traffic"]) for entry in self.of(action))]

    def broken_splits(self) -> Iterator[str]:
        """Traffic that did not sum to 100, or was not of deployments that were there."""
        there: set[str] = set()
        for entry in self._all:
            match entry["action"]:
                case "deployment.created":
                    there.add(entry["name"])
                case "deployment.deleted":
                    there.discard(entry["name"])
                case "endpoint.traffic":
                    split = nonzero(entry["traffic"])
                    if sum(split.values()) != 100 or not split.keys() <= there:
                        yield f"the traffic was {split}, over {there}"
                case _:
                    pass

    def runs_of(self, retraining: Retraining) -> list[str]:
        """The pipeline runs made for a retraining."""
        return [
            entry["run_id"]
            for entry in self.of("pipeline_run.created")
            if entry["parameters"]["anew_retraining_id"] == retraining.id
        ]


def judge(story: Story, journal: Journal, ledger: Ledger) -> Verdict:
    """Compare what Azure has with what the ledger answers for."""
    return Verdict(
        tuple(_duplicates(story, journal, ledger)),
        tuple(_lost(story, journal, ledger)),
        tuple(_orphans(journal, ledger)),
    )


def _duplicates(story: Story, journal: Journal, ledger: Ledger) -> Iterator[str]:
    for retraining in ledger.retrainings():
        if len(runs := journal.runs_of(retraining)) > 1:
            yield f"{retraining.id} was launched {len(runs)} times"
    for action in ("job.created", "model.registered", "deployment.created"):
        for name, count in Counter(f"{e['name']}:{e.get('version', '')}" for e in journal.of(action)).items():
            if count > 1:
                yield f"{action} {name}: {count} times"
    versions = [entry["version"] for entry in journal.of("model.registered")]
    expected = story.ends.count(RetrainingState.REGISTERED) + story.by_hand
    if len(versions) > expected:
        yield f"{len(versions)} versions were registered, not {expected}"
    if len(made := journal.of("deployment.created")) > expected:
        yield f"{len(made)} deployments were made, not {expected}"
    if len(decisions := ledger.decisions()) > len(story.ends):
        yield f"{len(decisions)} decisions, not {len(story.ends)}"
    yield from _other_traffic(story, journal)


def _other_traffic(story: Story, journal: Journal) -> Iterator[str]:
    for action, planned in (("endpoint.traffic", story.lives), ("endpoint.mirror", story.mirrors)):
        if (written := journal.splits(action)) != list(planned):
            yield f"{action} was written as {written}, not {planned}"


def _lost(story: Story, journal: Journal, ledger: Ledger) -> Iterator[str]:
    if not at_rest(ledger):
        yield "the ledger is not at rest"
    retrainings = ledger.retrainings()
    if (states := tuple(item.state for item in retrainings)) != story.ends:
        yield f"retrainings ended as {states}, not {story.ends}"
    jobs = {entry["name"] for entry in journal.of("job.created")}
    for item in retrainings:
        if item.state is RetrainingState.REGISTERED and not {item.job_name, item.evaluation_job} <= jobs:
            yield f"{item.id} is registered, and a job of it was never made"
    name = deployment_name(MODEL, story.serves)
    traffic = journal.traffic()
    if traffic.get(name) != 100 or sum(traffic.values()) != 100 or not set(traffic) <= journal.deployments():
        yield f"the traffic of {ENDPOINT} is {traffic}, over {journal.deployments()}"
    yield from journal.broken_splits()
    rollouts = ledger.rollouts()
    if (reached := tuple(item.state for item in rollouts)) != story.rollouts:
        yield f"rollouts ended as {reached} ({[item.reason for item in rollouts]}), not {story.rollouts}"
    yield from _lost_history(story, journal, ledger)


def _lost_history(story: Story, journal: Journal, ledger: Ledger) -> Iterator[str]:
    """What anew says that serves now, where it ever wrote any traffic, is what the endpoint shows."""
    newest = ledger.traffic(f"online/{ENDPOINT}", limit=1)
    told = {share.deployment: share.percent for share in newest[0].shares} if newest else {}
    if (newest or story.lives) and told != nonzero(journal.traffic()):
        yield f"by the history {told} serve, by the endpoint {journal.traffic()}"
    stages = [(change.shares, change.mirror) for change in ledger.traffic(f"online/{ENDPOINT}", limit=100)]
    if len(set(stages)) < len(stages) - (story.serves == "1"):
        yield f"a stage is in the history twice: {stages}"


def _orphans(journal: Journal, ledger: Ledger) -> Iterator[str]:
    retrainings = ledger.retrainings()
    owner = {name: item for item in retrainings for name in (item.job_name, item.evaluation_job)}
    owner |= {run: item for item in retrainings for run in journal.runs_of(item)}
    known = {item.external_run_id for item in retrainings} | {
        name for item in retrainings for name in (item.job_name, item.evaluation_job)
    }
    for kind, key in (("job", "name"), ("pipeline_run", "run_id")):
        ended = {entry[key] for entry in journal.of(f"{kind}.ended")}
        for name in (entry[key] for entry in journal.of(f"{kind}.created")):
            if name not in known:
                yield f"{kind} {name} is not in the ledger"
            if name not in ended:
                yield f"{kind} {name} still runs"
        for name in (entry[key] for entry in journal.of(f"{kind}.cancel_requested")):
            if name not in owner or owner[name].state not in GIVEN_UP:
                yield f"{kind} {name} was cancelled, and nobody gave it up"


def told(ledger: Ledger) -> str:
    """The newest chain of the model, line by line, for whoever has to find out what went wrong."""
    try:
        found = trace(ledger, MODEL)
    except NothingKnown as error:
        return str(error)
    events = [f"{item.received_at:%H:%M:%S} {item.event.type} {item.outcome}" for item in ledger.entries()]
    steps = [f"{row.at:%H:%M:%S} {row.subject} {row.subject_id} {row.what} {dict(row.detail)}" for row in found.audit]
    return "\n".join((*reversed(events), *steps))
