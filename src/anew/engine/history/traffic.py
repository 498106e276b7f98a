"""Which version served which share of an endpoint's traffic, as the ledger knows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from anew.core.rollouts.lifecycle import Rollout
from anew.core.rollouts.traffic import TrafficChange
from anew.core.rollouts.traffic_history import Period, name_of, period_at, periods
from anew.engine.base.ledger import Ledger

_CHANGES = 10_000  # of one endpoint


@dataclass(frozen=True, slots=True)
class EndpointHistory:
    """The traffic of one endpoint (`kind/name`), oldest first."""

    place: str
    line: tuple[Period, ...]

    @property
    def now(self) -> TrafficChange:
        """The newest change, which still holds."""
        return self.line[-1].change

    def at(self, moment: datetime) -> Period | None:
        """The period of that moment; None before the first change that is known."""
        return period_at(self.line, moment)


def endpoint_histories(ledger: Ledger, model: str, rollouts: Iterable[Rollout]) -> tuple[EndpointHistory, ...]:
    """The endpoints at which this model, whose rollouts these are, had any traffic; by name."""
    places = {change.endpoint for change in ledger.traffic(limit=_CHANGES) if _is_about(change, model)}
    places |= {rollout.place for rollout in rollouts}
    lines = ((place, periods(ledger.traffic(place, limit=_CHANGES))) for place in sorted(places))
    return tuple(
        EndpointHistory(place, line) for place, line in lines if any(_is_about(each.change, model) for each in line)
    )


def _is_about(change: TrafficChange, model: str) -> bool:
    names = (name_of(share).rpartition(":")[0] for share in (*change.shares, *change.mirror))
    return model.casefold() in {name.casefold() for name in names}
