"""Which version its release gave all traffic, and whether it was sent back since: what `prefer_rollback` asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.decision import Outcome
from anew.core.evidence.history import Release
from anew.core.rollouts.lifecycle import Rollout, RolloutKind, RolloutState
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.ledger import Ledger

_SERVES = frozenset({RolloutState.BAKING, RolloutState.LIVE, RolloutState.ABORTING})
_REMEMBERED = 200  # decisions


@dataclass(frozen=True, slots=True)
class ServingRelease:
    """A release whose version has all traffic of its endpoint since `since`, by the newest change that is known.

    `rollbacks` are what was opened since then to bring another version back.
    """

    rollout: Rollout
    since: datetime
    rollbacks: tuple[Rollout, ...]

    @property
    def is_rolling_back(self) -> bool:
        """Whether its traffic is on its way to another version."""
        return self.rollout.state is RolloutState.ABORTING or any(each.is_open for each in self.rollbacks)

    @property
    def was_tried(self) -> bool:
        """Whether going back was tried, and came to nothing."""
        return bool(self.rollbacks) and not self.is_rolling_back


def newest_release(ledger: Ledger, model: str) -> Release | None:
    """The release a decision about this model may go back from: the newest, unless that was tried, or decided before.

    A version is released to an endpoint once, so that what was decided about it is never about an earlier release.
    """
    newest = max(serving_releases(ledger, model), key=lambda each: each.since, default=None)
    if newest is None or newest.was_tried:
        return None
    version = newest.rollout.version
    if not newest.is_rolling_back and version in versions_left(ledger, model):
        return None
    before = version_of(newest.rollout.previous_version, model)
    return Release(version, newest.since, before, is_rolling_back=newest.is_rolling_back)


def serving_releases(ledger: Ledger, model: str) -> Iterator[ServingRelease]:
    """The releases of this model that serve, one for an endpoint at most. Moves of others count: what somebody gave
    the traffic to by hand was no release.
    """
    rollouts = ledger.rollouts(model=model)
    for place in dict.fromkeys(each.place for each in rollouts):
        here = {each.id: each for each in rollouts if each.place == place}
        newest = next(iter(ledger.traffic(place, limit=1)), None)
        rollout = here.get(newest.rollout_id or "") if newest else None
        if newest and rollout and rollout.kind is RolloutKind.RELEASE and _has_all(rollout, newest):
            rollbacks = (each for each in here.values() if each.kind is RolloutKind.ROLLBACK)
            yield ServingRelease(rollout, newest.at, tuple(each for each in rollbacks if each.created_at >= newest.at))


def versions_left(ledger: Ledger, model: str) -> frozenset[str]:
    """The versions that decisions went back from, or were to."""
    known = ledger.decisions(model, limit=_REMEMBERED)
    return frozenset(
        record.leaves_version for record in known if record.outcome == Outcome.ROLL_BACK and record.leaves_version
    )


def version_of(reference: str | None, model: str) -> str | None:
    """The version in `model:version`, if it is of this model: an endpoint may have served another before."""
    name, _, version = (reference or "").partition(":")
    return version or None if name.casefold() == model.casefold() else None


def _has_all(rollout: Rollout, newest: TrafficChange) -> bool:
    taken = [(share.deployment, share.percent) for share in newest.shares]
    return rollout.state in _SERVES and taken == [(rollout.deployment, 100)]
