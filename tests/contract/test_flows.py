"""The obligations of Flows and Forms, as in engine/base/ports.py: in memory and on a real Prefect server."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from anew.adapters.memory.flows import MemoryFlows, MemoryForms
from anew.adapters.prefect.api import PrefectFlows
from anew.adapters.prefect.forms import DEPLOYMENT, PrefectForms
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.ports import Flows, Forms
from anew.errors import PrefectUnavailable
from tests.contract.rows import retraining
from tests.event_data import drift
from tests.prefect_server import PrefectServer, free_port

CONTRACT = {Flows: (MemoryFlows, PrefectFlows), Forms: (MemoryForms, PrefectForms)}

pytestmark = pytest.mark.timeout(240)
OTHER = "contract/default"


@dataclass(frozen=True)
class World:
    """The ports on one Prefect and on one that is away, and what a person or a worker does to a form."""

    flows: Flows
    forms: Forms
    flows_away: Flows
    forms_away: Forms
    suspend: Callable[[str], object]
    fill_in: Callable[[str], object]


@contextmanager
def memory_world() -> Generator[World]:
    forms = MemoryForms()
    down = MemoryFlows(down=True), MemoryForms(down=True)
    yield World(MemoryFlows(), forms, *down, lambda form: None, forms.ended.add)


@contextmanager
def prefect_world(server: PrefectServer) -> Generator[World]:
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    with (
        httpx.Client(base_url=server.api_url, timeout=30) as api,
        PrefectFlows(server.api_url, attempts=10) as flows,
        PrefectFlows(nowhere, attempts=1) as away,
    ):
        for name in (DEPLOYMENT, OTHER):
            flow, _, deployment = name.partition("/")
            flow_id = api.post("/flows/", json={"name": flow}).raise_for_status().json()["id"]
            body = {"name": deployment, "flow_id": flow_id, "enforce_parameter_schema": False}
            api.post("/deployments/", json=body).raise_for_status()

        def set_state(form: str, type_: str, name: str) -> None:
            body: dict[str, Any] = {"state": {"type": type_, "name": name}, "force": True}
            api.post(f"/flow_runs/{form}/set_state", json=body).raise_for_status()

        yield World(
            flows,
            PrefectForms(flows),
            away,
            PrefectForms(away),
            lambda form: set_state(form, "PAUSED", "Suspended"),
            lambda form: set_state(form, "COMPLETED", "Completed"),
        )
        for run in (*flows.unfinished_runs(DEPLOYMENT), *flows.unfinished_runs(OTHER)):
            set_state(run.id, "CANCELLED", "Cancelled")


@pytest.fixture(scope="module", params=["memory", "prefect"])
def world(request: pytest.FixtureRequest) -> Generator[World]:
    made = memory_world() if request.param == "memory" else prefect_world(request.getfixturevalue("prefect_api"))
    with made as ready:
        yield ready


@pytest.fixture
def waiting() -> Retraining:
    """A retraining that no other test asks about."""
    return retraining(uuid4().hex[:8])


def forms_of(world: World, about: Retraining) -> list[str]:
    return [form for form, retraining_id in world.forms.unfinished().items() if retraining_id == about.id]


# --- Flows ------------------------------------------------------------------------------------------------


def test_hint_may_be_repeated(world: World) -> None:
    """Emitting an event again is not an error."""
    world.flows.hint(drift())
    world.flows.hint(drift())


def test_one_key_starts_one_run(world: World) -> None:
    """A second call with the same key finds the run of the first."""
    key = uuid4().hex

    runs = [world.flows.start(OTHER, key, {"a": 1}), world.flows.start(OTHER, key, {"a": 1})]
    other = world.flows.start(OTHER, f"{key}-other", {})

    assert runs[0] == runs[1] != other


def test_missing_prefect_is_unavailable(world: World) -> None:
    """Every call says PrefectUnavailable when no server answers."""
    calls: list[Callable[[], object]] = [
        lambda: world.flows_away.hint(drift()),
        lambda: world.flows_away.start(OTHER, "key", {}),
        world.forms_away.unfinished,
        lambda: world.forms_away.ask(retraining()),
        lambda: world.forms_away.withdraw("form", "why"),
    ]
    for call in calls:
        with pytest.raises(PrefectUnavailable):
            call()


# --- Forms ------------------------------------------------------------------------------------------------


def test_asking_twice_opens_one_form(world: World, waiting: Retraining) -> None:
    """Each retraining and time has one form, whoever asks for it."""
    world.forms.ask(waiting)
    world.forms.ask(waiting)

    assert len(forms_of(world, waiting)) == 1


def test_asking_at_a_later_time_opens_another_form(world: World, waiting: Retraining) -> None:
    """A retraining that waits again is asked about again."""
    world.forms.ask(waiting)
    [form] = forms_of(world, waiting)
    world.fill_in(form)

    later = replace(waiting, state_since=waiting.state_since + timedelta(days=1))
    world.forms.ask(later)

    assert forms_of(world, waiting) != [form]
    assert len(forms_of(world, waiting)) == 1


def test_withdrawn_form_has_ended(world: World, waiting: Retraining) -> None:
    """A form that is not filled in ends, and may be withdrawn again."""
    world.forms.ask(waiting)
    [form] = forms_of(world, waiting)
    world.suspend(form)

    world.forms.withdraw(form, "answered elsewhere")
    world.forms.withdraw(form, "answered elsewhere")

    assert forms_of(world, waiting) == []


def test_filled_in_form_cannot_be_withdrawn(world: World, waiting: Retraining) -> None:
    """Withdrawing a form that has ended changes nothing, and raises nothing."""
    world.forms.ask(waiting)
    [form] = forms_of(world, waiting)
    world.fill_in(form)

    world.forms.withdraw(form, "answered elsewhere")

    assert forms_of(world, waiting) == []
