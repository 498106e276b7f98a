"""`prefect.yaml` deploys what exists, and its triggers can fire."""

import importlib
import sys
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import Flow

from anew.adapters.prefect.api import FLOW_LABEL
from anew.adapters.prefect.notifications import notification_event
from anew.core.events.handling import CAUSES_OF
from anew.engine.base.ports import Notification
from anew.engine.notifications.notification import APPROVAL_REQUESTED
from tests.event_data import causes_by_type
from tests.repo.paths import ROOT

FILE: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: list[dict[str, Any]] = FILE["deployments"]
TRIGGERS = [(each["entrypoint"], trigger) for each in DEPLOYMENTS for trigger in each.get("triggers", [])]
SCHEDULES = [schedule for each in DEPLOYMENTS for schedule in each.get("schedules", [])]

each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["entrypoint"])
HINTED = [(name, trigger) for name, trigger in TRIGGERS if FLOW_LABEL in trigger["match"]]
each_trigger = pytest.mark.parametrize(("entrypoint", "trigger"), TRIGGERS, ids=[name for name, _ in TRIGGERS])
each_hinted = pytest.mark.parametrize(("entrypoint", "trigger"), HINTED, ids=[name for name, _ in HINTED])


def _flow(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


@each_deployment
def test_entrypoint_is_a_flow(deployment: dict[str, Any]) -> None:
    """Every entrypoint is a Prefect flow."""
    assert _flow(deployment["entrypoint"]).name


@each_deployment
def test_deployment_names_a_work_pool(deployment: dict[str, Any]) -> None:
    """Every deployment uses the work pool `anew`."""
    assert deployment["work_pool"]["name"] == "anew"


def test_relay_flows_are_deployed() -> None:
    """Every flow that the relay starts is deployed."""
    deployed = {f"{_flow(each['entrypoint']).name}/{each['name']}" for each in DEPLOYMENTS}
    assert {f"{flow}/default" for flow in CAUSES_OF} <= deployed


def test_pull_step_sets_the_directory() -> None:
    """The only pull step sets the working directory."""
    assert [next(iter(step)) for step in FILE["pull"]] == ["prefect.deployments.steps.set_working_directory"]


def test_flow_files_shadow_no_module() -> None:
    """No file in `flows` has the name of a standard or installed module."""
    # Prefect may put flows/ first on sys.path, and then a file there hides what has its name elsewhere.
    stems = {file.stem for file in (ROOT / "flows").glob("*.py")} - {"__init__"}
    taken = set(sys.stdlib_module_names) | {name for name in packages_distributions() if name != "flows"} | {"anew"}
    assert stems & taken == set()


@each_trigger
def test_trigger_fires_for_each_event(entrypoint: str, trigger: dict[str, Any]) -> None:
    """A trigger fires for each event, without a time window."""
    # With within > 0 a reactive trigger fires once and then swallows events until the window ends.
    assert (trigger["posture"], trigger["threshold"], trigger["within"]) == ("Reactive", 1, 0)


@each_hinted
def test_trigger_expects_the_types_that_lead_to_its_flow(entrypoint: str, trigger: dict[str, Any]) -> None:
    """A type that can have a cause of the flow is expected, and no other is."""
    flow_causes = CAUSES_OF[trigger["match"][FLOW_LABEL]]
    assert set(trigger["expect"]) == {kind for kind, causes in causes_by_type().items() if causes & flow_causes}


@each_hinted
def test_trigger_matches_its_own_flow(entrypoint: str, trigger: dict[str, Any]) -> None:
    """A trigger matches only hints for its own flow."""
    assert trigger["match"][FLOW_LABEL] == _flow(entrypoint).name
    assert trigger["match"][FLOW_LABEL] in CAUSES_OF


def test_every_inbox_flow_has_trigger() -> None:
    """Every flow that works on the inbox has exactly one trigger."""
    assert sorted(trigger["match"][FLOW_LABEL] for _, trigger in HINTED) == sorted(CAUSES_OF)


def test_approval_flow_follows_its_notification() -> None:
    """The notification of a requested approval triggers the approval flow with its retraining."""
    news = Notification(APPROVAL_REQUESTED, "r-1", "price", "title", "text")
    event = notification_event(news, uuid4(), datetime.now(UTC))
    [trigger] = [trigger for name, trigger in TRIGGERS if name == "flows.approval:approval"]

    assert trigger["expect"] == [event["event"]]
    assert fnmatch(event["resource"]["prefect.resource.id"], trigger["match"]["prefect.resource.id"])
    assert trigger["parameters"] == {"retraining_id": "{{ event.payload.about }}"}
    assert event["payload"]["about"] == news.about


def test_all_triggers_are_tested() -> None:
    """All triggers match hints, except the one for approvals."""
    assert len(TRIGGERS) == len(HINTED) + 1


@each_trigger
def test_trigger_parameters_exist(entrypoint: str, trigger: dict[str, Any]) -> None:
    """A trigger passes only parameters that its flow has."""
    assert set(trigger["parameters"]) <= set(_flow(entrypoint).parameters.properties)


def test_every_flow_is_started() -> None:
    """Every deployment has a trigger or a schedule."""
    assert all(each.get("triggers") or each.get("schedules") for each in DEPLOYMENTS)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each["slug"])
def test_schedule_is_cron(schedule: dict[str, Any]) -> None:
    """Every schedule is a valid cron expression, not an interval."""
    # An interval gets a new anchor with each deploy, and so never comes round where deploys are frequent.
    assert "interval" not in schedule
    assert CronSchedule(cron=schedule["cron"]).cron
