"""The splits of a rollout, and the stage that an endpoint shows."""

from typing import Any

import pytest

from anew.core.rollouts.stages import Split, first_step, shown_stage, split_at, takes_all, traffic_change
from anew.core.rollouts.traffic import Share
from anew.errors import TrafficMoved
from tests.builders import START, stage
from tests.core.rollouts.samples import release, rollback, rule

STAGES = rule(steps=[stage(mirror=30), stage(10), stage(100)])
SPLITS = [
    (-1, Split({"price-3": 100})),
    (0, Split({"price-3": 100}, {"price-4": 30})),
    (1, Split({"price-4": 10, "price-3": 90})),
    (2, Split({"price-4": 100})),
]


@pytest.mark.parametrize(("step", "split"), SPLITS)
def test_stage_has_its_split(step: int, split: Split) -> None:
    """Every stage has the split of its step; stage -1 is the split before the rollout."""
    assert split_at(release(), STAGES, step) == split


def test_lone_deployment_takes_all() -> None:
    """Without an old deployment, every stage gives the new one all traffic."""
    alone = release(previous=None)

    assert split_at(alone, STAGES, -1) == Split({})
    assert {str(split_at(alone, STAGES, step)) for step in range(3)} == {str(Split({"price-4": 100}))}


@pytest.mark.parametrize(("live", "step"), [({"price-3": 100}, -1), ({"price-4": 10, "price-3": 90}, 1)])
def test_endpoint_shows_stage(live: dict[str, int], step: int) -> None:
    """The stage shown is the first with the live traffic of the endpoint."""
    assert shown_stage(release(), STAGES, Split(live), range(-1, 3)) == step


@pytest.mark.parametrize(
    ("live", "words"), [({"price-4": 20, "price-3": 80}, "price-3 80 %, price-4 20 %"), ({}, "no traffic")]
)
def test_foreign_split_is_refused(live: dict[str, int], words: str) -> None:
    """A split of no stage was written outside anew, and the error says what the endpoint shows."""
    with pytest.raises(TrafficMoved, match=words):
        shown_stage(release(), STAGES, Split(live), range(-1, 3))


@pytest.mark.parametrize(
    ("rollout", "changes", "first"),
    [
        (release(), {}, 0),
        (release(previous=None), {}, 1),
        (rollback(), {}, 1),
        (release(), {"kind": "batch", "compute": "cpu", "sample_request": None}, 1),
    ],
)
def test_first_stage(rollout: Any, changes: dict[str, Any], first: int) -> None:
    """A release with an old deployment online begins with the first stage; every other rollout with the last."""
    assert first_step(rollout, rule(**changes)) == first


def test_only_last_stage_takes_all() -> None:
    """The new deployment has all traffic at the last stage only."""
    assert [takes_all(STAGES, step) for step in range(3)] == [False, False, True]


def test_change_names_both_models() -> None:
    """A change of traffic names the model version of each deployment, the largest share first."""
    change = traffic_change(release(), split_at(release(), STAGES, 1), "ada", "10 %", START)

    assert change.shares == (Share("price-3", 90, "price:3"), Share("price-4", 10, "price:4"))
    assert (change.endpoint, change.rollout_id, change.actor) == ("online/price-online", "o-4", "ada")
