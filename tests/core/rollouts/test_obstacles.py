"""Why a rollout must not start."""

import pytest

from anew.core.rollouts.obstacles import release_obstacle, traffic_obstacle
from tests.core.rollouts.samples import release


@pytest.mark.parametrize(
    ("traffic", "obstacle"),
    [
        ({}, None),
        ({"price-3": 100, "price-4": 0}, None),
        ({"price-4": 100}, "price-online serves version 4 already"),
        ({"price-3": 60, "blue": 40}, "is shared by blue, price-3: give one of them all of it first"),
    ],
)
def test_traffic_obstacle(traffic: dict[str, int], obstacle: str | None) -> None:
    """A rollout starts only when another deployment has all the traffic, or none has any."""
    assert (obstacle or "") in (traffic_obstacle(release(), traffic) or "")
    assert (traffic_obstacle(release(), traffic) is None) == (obstacle is None)


@pytest.mark.parametrize(
    ("served", "waiting", "compared_with", "obstacle"),
    [
        (None, [], None, None),
        ("3", ["4", "3"], "3", None),
        ("3", [], None, None),
        (None, [], "2", None),
        ("4", [], None, "price-online already serves version 4"),
        ("10", [], None, "price-online already serves version 10"),
        ("3", ["2", "5"], None, "version 5 also waits for price-online, and is released instead"),
        ("3", [], "2", "it was compared with version 2, but price-online serves 3: it is unknown which is better"),
    ],
)
def test_release_obstacle(
    served: str | None, waiting: list[str], compared_with: str | None, obstacle: str | None
) -> None:
    """A version is released only if it is newer than the one that serves, the newest that waits, and was compared with
    the one that serves.
    """
    assert release_obstacle(release(), served, waiting, compared_with) == obstacle
