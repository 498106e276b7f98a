"""Stories of releases that nobody trained here: one that goes live, one sent back by its answers, one by a person."""

import warnings
from typing import Any

with warnings.catch_warnings(action="ignore"):
    from azure.ai.ml.entities import Model

from anew.core.rollouts.lifecycle import RolloutState
from anew.emulator.client import LocalAzure
from anew.emulator.machine_learning import events as ml_events
from anew.engine.base.ledger import Ledger
from anew.engine.rollouts.deploy import deploy
from anew.engine.rollouts.rollback import request_rollback
from anew.wiring import azure_access, ml_client
from tests.faults.stories import TICK, Scene, Stage, Story, at_rest, live
from tests.faults.world import ENDPOINT, MODEL, TAGS, WORKSPACE_ID, policy

_NO_WAIT = {"wait": "0s", "min_requests": 0}
_MIRRORED = [{"mirror": 20, **_NO_WAIT}, {"traffic": 20, **_NO_WAIT}, {"traffic": 100, **_NO_WAIT}]
_JUDGED = [{"traffic": 20, "wait": "0s"}, {"traffic": 100, "wait": "0s"}]
_OLD, _NEW = f"{MODEL}-1", f"{MODEL}-2"


def _deploying(**changes: Any) -> dict[str, Any]:
    """The policy, which trains nothing here: no monitor of its own sees drift."""
    document = policy(monitors=["another"])
    return document | {"deploy": [document["deploy"][0] | changes]}


# --- what comes from outside ------------------------------------------------------------------------------


def register_by_hand(scene: Scene) -> None:
    """Somebody registers version 2 with the tags that deploy it."""
    settings = scene.world.settings()
    path = "azureml://jobs/first/outputs/model"
    model = Model(name=MODEL, version="2", path=path, type="mlflow_model", tags=TAGS)
    ml_client(settings, azure_access(settings)).models.create_or_update(model)


def register_one_that_crashes(scene: Scene) -> None:
    """Version 2 fails for a third of its inputs."""
    with LocalAzure(scene.world.url) as azure:
        azure.set_behaviour(MODEL, "2", crash_share=0.33)
    register_by_hand(scene)


def tell_of_it(scene: Scene) -> None:
    scene.receive(ml_events.model_registered(WORKSPACE_ID, name=MODEL, version="2", tags=TAGS, properties={}))


def requests_come(scene: Scene) -> None:
    with LocalAzure(scene.world.url) as azure:
        azure.send_traffic(WORKSPACE_ID, ENDPOINT, requests=1000, start=scene.now, end=scene.now + TICK)


def ask_back(scene: Scene) -> None:
    """A person wants the version before; who asks again means it once."""
    request_rollback(scene.engine, MODEL, "no good", scene.now)


# --- how far it is ----------------------------------------------------------------------------------------


def shifting(ledger: Ledger) -> bool:
    return _is_past(ledger, {RolloutState.PENDING, RolloutState.CREATING})


def baking(ledger: Ledger) -> bool:
    return _is_past(ledger, {RolloutState.PENDING, RolloutState.CREATING, RolloutState.SHIFTING})


def _is_past(ledger: Ledger, states: set[RolloutState]) -> bool:
    return any(item.state not in states for item in ledger.rollouts())


ROLLOUT_STORIES = {
    # Mirrored, then a share, then all traffic; the old deployment goes when the bake is over.
    "release": Story(
        (
            Stage(baking, happens=register_by_hand, hint=tell_of_it, flows=(deploy,)),
            Stage(live),
            Stage(at_rest),
        ),
        {"policies": _deploying(steps=_MIRRORED, bake="1m")},
        ends=(),
        rollouts=(RolloutState.LIVE,),
        lives=({_OLD: 80, _NEW: 20}, {_NEW: 100}),
        mirrors=({_NEW: 20}, {}),
        by_hand=1,
    ),
    # It fails at a fifth of the traffic, and its answers show it.
    "failed stage": Story(
        (
            Stage(shifting, happens=register_one_that_crashes, hint=tell_of_it, flows=(deploy,)),
            Stage(at_rest, happens=requests_come),
        ),
        {"policies": _deploying(steps=_JUDGED, analysis={"failure_limit": 1})},
        ends=(),
        serves="1",
        rollouts=(RolloutState.ROLLED_BACK,),
        lives=({_OLD: 80, _NEW: 20}, {_OLD: 100}),
        by_hand=1,
    ),
    # It has all traffic when a person asks for the version before, whose deployment is warm: one write.
    "asked back": Story(
        (
            Stage(baking, happens=register_by_hand, hint=tell_of_it, flows=(deploy,)),
            Stage(at_rest, happens=ask_back),
        ),
        {"policies": _deploying(steps=_MIRRORED, bake="1h")},
        ends=(),
        serves="1",
        rollouts=(RolloutState.ROLLED_BACK,),
        lives=({_OLD: 80, _NEW: 20}, {_NEW: 100}, {_OLD: 100}),
        mirrors=({_NEW: 20}, {}),
        by_hand=1,
    ),
}
