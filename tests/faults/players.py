"""What the processes of a case do: local Azure, the one that is killed, and the one that goes on after it."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

# The SDK declares its schemas in ways that the marshmallow it asks for calls deprecated.
with warnings.catch_warnings(action="ignore"):
    from azure.ai.ml.entities import Model

from anew.adapters.azure.machine_learning.workspace import load_named
from anew.emulator.app import create_app, make_server
from anew.emulator.base.cloud import Cloud
from anew.emulator.client import LocalAzure
from anew.engine.base.context import Engine
from anew.engine.base.ports import Notification
from anew.wiring import azure_access, build_engine, data_factory_client, ml_client, open_ledger
from tests.faults.all_stories import STORIES
from tests.faults.boundaries import Killer, Recorder, Watch, die, watch_engine
from tests.faults.stories import LEASES, TICKS, Scene, Stage, Story, at_rest, live, observe_drift
from tests.faults.world import (
    FACTORY,
    GROUP,
    MODEL,
    QUICK,
    SLOW,
    TAGS,
    World,
    is_quiet,
    pipeline,
    state_of,
    wait_until,
    write_policies,
)

CALLS = "calls"


# --- local Azure ------------------------------------------------------------------------------------------


class MortalCloud(Cloud):
    """A local Azure that kills itself when its journal has so many more entries, or just before the last is kept."""

    lifetime: int = 0
    durable: bool = True

    def journal(self, action: str, **fields: object) -> None:
        super().journal(action, **fields)
        self.lifetime -= 1
        if self.lifetime == 0 and self.durable:
            self.store.after_commit(die)
        elif self.lifetime == 0:
            die()


def serve_azure(folder: Path, port: int, lifetime: int, durable: bool) -> None:
    """Serve the local Azure of this folder until killed; with a lifetime, until it kills itself."""
    cloud = MortalCloud.open(folder, f"http://127.0.0.1:{port}")
    assert isinstance(cloud, MortalCloud)
    cloud.lifetime, cloud.durable = lifetime, durable
    make_server(create_app(cloud, warm=False), "127.0.0.1", port).run()


# --- anew -------------------------------------------------------------------------------------------------


def rehearse(world: World, story: str) -> None:
    """Play the story without a fault, and note every call."""
    recorder = Recorder(lambda: state_of(world))
    _play(world, STORIES[story], recorder)
    recorder.save(world.folder / CALLS)


def play_and_die(world: World, story: str, gap: int, total: int) -> None:
    """Play the story until this gap."""
    _play(world, STORIES[story], Killer(gap, total, world.folder / CALLS))


def _play(world: World, story: Story, watch: Watch) -> None:
    scene: Scene | None = None
    for stage in story.stages:
        scene = _on_stage(world, stage, scene, lambda engine: watch_engine(engine, watch))
        stage.happens(scene)
        scene.settle()
        stage.hint(scene)
        for flow in stage.flows:
            flow(scene.engine, scene.now)
        _tick_until(scene, stage)


def go_on(world: World, story: str) -> None:
    """Be the process that is started after the other one died: whatever happens in its time, and ticks."""
    scene: Scene | None = None
    for stage in STORIES[story].stages:
        scene = _on_stage(world, stage, scene, lambda engine: engine)
        scene.ahead = max(scene.ahead, LEASES)
        if not stage.over(scene.ledger):
            stage.happens(scene)
            _tick_until(scene, stage)
    assert scene is not None
    _tick_until(scene, Stage(at_rest))


def _on_stage(world: World, stage: Stage, before: Scene | None, wrap: Callable[[Engine], Engine]) -> Scene:
    """The scene for a stage: a person may have changed the policies since the last one."""
    engine = telling_nobody(build_engine(world.settings(stage.policies), "faults"))
    scene = Scene(world, wrap(engine), engine.ledger)
    return replace(scene, ahead=before.ahead) if before else scene


class _Nobody:
    """Who is told nothing: no Prefect server runs here, and to try again and again to reach one takes seconds."""

    def send(self, notification: Notification) -> None:
        pass


def telling_nobody(engine: Engine) -> Engine:
    """The same engine, whose news nobody gets."""
    return replace(engine, notifier=_Nobody())


def _tick_until(scene: Scene, stage: Stage) -> None:
    for _ in range(TICKS):
        if stage.over(scene.ledger):
            return
        scene.tick()
    raise AssertionError(f"not over after {TICKS} ticks")


# --- before the story -------------------------------------------------------------------------------------


def prepare(world: World) -> None:
    """Pipelines, a version 1 that serves, and drift that nobody was told of."""
    write_policies(world.folder / "policies", STORIES["pipeline"].policies["policies"])
    settings = replace(world, ledger_url=f"sqlite:///{world.folder}/before.db").settings()
    access = azure_access(settings)
    with LocalAzure(world.url) as azure:
        azure.set_modes(wait_scale=1.0)
    with data_factory_client(settings, access) as factory:
        for name in (QUICK, SLOW):
            body: Any = pipeline(name)  # the SDK takes plain JSON too
            factory.pipelines.create_or_update(GROUP, FACTORY, name, body)
    ml = ml_client(settings, access)
    ml.jobs.create_or_update(load_named(world.folder / "policies" / "jobs" / "train.yml", "first", {}, {}))
    wait_until(lambda: is_quiet(world.journal()), "the first model is trained")
    path = "azureml://jobs/first/outputs/model"
    ml.models.create_or_update(Model(name=MODEL, version="1", path=path, type="mlflow_model", tags=TAGS))
    engine = telling_nobody(build_engine(settings, "faults"))
    _tick_until(Scene(world, engine, engine.ledger), Stage(live))
    observe_drift(world, world.folder / "drift-1.json")
    open_ledger(world.settings()).close()  # migrated here, so that no case has to
