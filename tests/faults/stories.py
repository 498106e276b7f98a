"""What is played again and again with a death in it: stories in stages, and how each has to end."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from anew.core.events.deliveries import Deliver, Delivery, answer
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, Retraining, RetrainingState
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, RolloutState
from anew.emulator.base.state import Document
from anew.emulator.client import LocalAzure
from anew.emulator.machine_learning import events as ml_events
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Ledger
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.inbox import intake
from anew.engine.reconcile import reconcile
from anew.engine.retrainings.finished_runs import handle_finished_runs
from anew.engine.rollouts.deploy import deploy
from anew.engine.training.stopping import request_stop
from tests.faults.world import MODEL, MONITOR, QUICK, SLOW, TAGS, WORKSPACE_ID, World, is_quiet, policy, wait_until

TICK = timedelta(seconds=30)
TICKS = 30
LEASES = timedelta(minutes=6)  # longer than any lease or settle time of `Timing`

UseCase = Callable[[Engine, datetime], object]


@dataclass
class Scene:
    """Where a story is played: a world, the engine that works on it, and a clock that may be ahead of Azure's."""

    world: World
    engine: Engine
    ledger: Ledger  # unwatched: what the stage directions look at
    ahead: timedelta = timedelta(0)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @property
    def retraining(self) -> Retraining:
        """The newest one."""
        return self.ledger.retrainings()[-1]

    def receive(self, *events: Document) -> None:
        """What the webhook does with a delivery."""
        body = json.dumps(events).encode()
        delivery = Delivery("POST", {"aeg-event-type": "Notification"}, body)
        match answer(delivery, workspaces=[self.engine.workspace]):
            case Deliver(parsed):
                intake.receive(self.engine.ledger, parsed, self.now)
            case refusal:
                raise AssertionError(f"the delivery was not taken: {refusal}")

    def tick(self) -> None:
        """Once Azure has done what it does by itself, time passes, and reconciliation runs."""
        self.settle()
        self.ahead += TICK
        reconcile(self.engine, self.now)

    def settle(self) -> None:
        """Let Azure do what it does by itself."""
        wait_until(self._is_quiet, "Azure is quiet")

    def _is_quiet(self) -> bool:
        try:
            return is_quiet(self.world.journal())
        except httpx.TransportError:  # it is being started again
            return False


def nothing(_: Scene) -> None:
    """Nothing comes from outside."""


@dataclass(frozen=True)
class Stage:
    """A part of a story: what comes from outside, the flows it starts when all goes well, and when it is over.

    What `happens` comes again to whoever goes on after a crash, as Event Grid delivers again and people ask again. A
    `hint` is lost then.
    """

    over: Callable[[Ledger], bool]
    happens: Callable[[Scene], None] = nothing
    hint: Callable[[Scene], None] = nothing
    flows: tuple[UseCase, ...] = ()
    policies: str = "policies"


@dataclass(frozen=True)
class Story:
    """Its stages, its policies by folder, and its end: retrainings and rollouts in order, and the version that serves.

    `lives` and `mirrors` are the splits of live and mirrored traffic that were written, one after the other; `by_hand`
    is how many versions somebody else registers.
    """

    stages: tuple[Stage, ...]
    policies: Mapping[str, Mapping[str, Any]]
    ends: tuple[RetrainingState, ...]
    serves: str = "2"
    rollouts: tuple[RolloutState, ...] = (RolloutState.LIVE,)
    lives: tuple[Mapping[str, int], ...] = ({f"{MODEL}-1": 90, f"{MODEL}-2": 10}, {f"{MODEL}-2": 100})
    mirrors: tuple[Mapping[str, int], ...] = ()
    by_hand: int = 0


# --- what comes from outside ------------------------------------------------------------------------------


def drift(scene: Scene, number: int) -> None:
    """A monitor sees drift, once, and its event is delivered."""
    path = scene.world.folder / f"drift-{number}.json"
    if not path.exists():
        observe_drift(scene.world, path)
    scene.receive(*json.loads(path.read_text()))


def observe_drift(world: World, path: Path) -> None:
    """Let a monitor see drift, and keep its events for their delivery."""
    with LocalAzure(world.url) as azure:
        events = azure.observe(WORKSPACE_ID, kind="dataset", name=MONITOR, value=0.6, publish=False)
    path.write_text(json.dumps(events))


def first_drift(scene: Scene) -> None:
    drift(scene, 1)


def second_drift(scene: Scene) -> None:
    drift(scene, 2)


def trained(scene: Scene) -> None:
    _completed(scene, scene.retraining.job_name)


def evaluated(scene: Scene) -> None:
    _completed(scene, scene.retraining.evaluation_job)


def _completed(scene: Scene, job: str) -> None:
    tags = {"anew_retraining_id": scene.retraining.id}
    scene.receive(ml_events.run_completed(WORKSPACE_ID, run_id=job, experiment="retraining", tags=tags, properties={}))


def registered(scene: Scene) -> None:
    version = scene.retraining.new_version or ""
    scene.receive(ml_events.model_registered(WORKSPACE_ID, name=MODEL, version=version, tags=TAGS, properties={}))


def cancel(scene: Scene) -> None:
    """A person cancels the training that is under way."""
    request_stop(scene.engine, MODEL, "no longer wanted", scene.now)


# --- how far it is ----------------------------------------------------------------------------------------


def launched(ledger: Ledger) -> bool:
    return any(item.state is not RetrainingState.LAUNCHING for item in ledger.retrainings())


def under_evaluation(ledger: Ledger) -> bool:
    waiting = {RetrainingState.LAUNCHING, RetrainingState.TRAINING}
    return any(item.state not in waiting for item in ledger.retrainings())


def is_registered(ledger: Ledger) -> bool:
    return bool(ledger.retrainings([RetrainingState.REGISTERED]))


def live(ledger: Ledger) -> bool:
    return bool(ledger.rollouts([RolloutState.LIVE]))


def at_rest(ledger: Ledger) -> bool:
    """Nothing is open any more, and everything that was received is answered."""
    is_waiting = any(entry.settled_at is None for entry in ledger.entries(1000))
    return not (is_waiting or ledger.retrainings(OPEN_RETRAINING) or ledger.rollouts(OPEN_ROLLOUT))


def given_up(ledger: Ledger) -> bool:
    return launched(ledger) and at_rest(ledger)


# --- the stories ------------------------------------------------------------------------------------------

TRAINING_STORIES: Mapping[str, Story] = {
    # Every event comes, and each starts its flow; reconciliation finds nothing left to do.
    "pipeline": Story(
        (
            Stage(launched, happens=first_drift, flows=(decide_pending,)),
            Stage(under_evaluation, hint=trained, flows=(handle_finished_runs,)),
            Stage(is_registered, hint=evaluated, flows=(handle_finished_runs,)),
            Stage(live, hint=registered, flows=(deploy,)),
            Stage(at_rest, flows=(reconcile,)),
        ),
        {"policies": policy()},
        ends=(RetrainingState.REGISTERED,),
    ),
    # No event comes at all: reconciliation finds the drift, and does everything by itself.
    "silent job": Story(
        (Stage(live),),
        {"policies": policy(retrain={"launcher": {"kind": "aml", "job": "jobs/train.yml"}})},
        ends=(RetrainingState.REGISTERED,),
    ),
    # A person cancels while pipeline and job run.
    "cancel": Story(
        (Stage(launched, happens=first_drift, flows=(decide_pending,)), Stage(given_up, happens=cancel)),
        {"policies": policy(SLOW)},
        ends=(RetrainingState.CANCELED,),
        serves="1",
        rollouts=(),
        lives=(),
    ),
    # Newer drift gives up a training that runs, and trains again.
    "supersede": Story(
        (
            Stage(launched, happens=first_drift, flows=(decide_pending,)),
            Stage(live, happens=second_drift, flows=(decide_pending,), policies="later"),
        ),
        {
            "policies": policy(SLOW, limits={"in_flight": "supersede", "cooldown": "1s"}),
            "later": policy(QUICK, limits={"in_flight": "supersede", "cooldown": "1s"}),
        },
        ends=(RetrainingState.CANCELED, RetrainingState.REGISTERED),
    ),
}
