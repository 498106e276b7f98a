"""What happens in a run, and when: drawn from the seed alone, so that a seed is the same run each time."""

import random
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["dataset", "model"]
Fate = Literal["delivered", "undelivered", "forged"]
InFlight = Literal["hold", "queue", "supersede"]

MODELS: Final = 30
LENGTH: Final = 45.0  # seconds in which events happen
_LATE_SHARE: Final = 0.2
_UNDELIVERED_SHARE: Final = 0.03
_FORGED_SHARE: Final = 0.03
_V2_SHARE: Final = 0.15
_IN_FLIGHT: Final[tuple[InFlight, ...]] = ("hold", "queue", "supersede")
# How often one is chosen to die. Prefect takes five seconds to come back, the others half a second.
_VICTIMS: Final = {
    "webhook-1": 5,
    "webhook-2": 5,
    "worker-1": 5,
    "worker-2": 5,
    "worker-3": 5,
    "azure": 3,
    "prefect": 1,
}
_SECONDS_BETWEEN_KILLS: Final = 2.0
_SECONDS_BETWEEN_FREEZES: Final = 5.0
# One event is about three models, of which one holds, one queues and one supersedes.
_SHARE_A_MONITOR: Final = frozenset({27, 28, 29})
_WORKERS: Final = ("worker-1", "worker-2", "worker-3")
# Longer than the world's leases, and than it waits for what was asked for: others have taken over by then.
_FROZEN: Final = (11.0, 25.0)


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model, how it is retrained, and the monitor that watches it. One that `hangs` has a training that never ends,
    and a time-out.
    """

    name: str
    monitor: str
    launcher: Literal["adf", "aml"]
    in_flight: InFlight
    seconds: float
    hangs: bool
    deploys: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """A monitor saw drift. `deliveries` are when its event is sent; none for one that the broker loses."""

    at: float
    model: str
    kind: Kind
    fate: Fate
    deliveries: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """A process dies by SIGKILL, and is started again."""

    at: float
    victim: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process stands still (SIGSTOP) from here on, or goes on (SIGCONT) as if no time had passed."""

    at: float
    victim: str
    stops: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    seed: int
    models: tuple[ModelPlan, ...]
    happenings: tuple[Happening, ...]
    kills: tuple[Kill, ...]
    freezes: tuple[Freeze, ...]


def make_plan(seed: int, events: int) -> Plan:
    """The run of this seed with so many events."""
    dice = random.Random(seed)
    models = tuple(_model(dice, number) for number in range(MODELS))
    happenings = sorted((_happening(dice, models) for _ in range(events)), key=lambda each: each.at)
    return Plan(seed, models, tuple(happenings), tuple(_kills(dice)), tuple(_freezes(dice)))


def _model(dice: random.Random, number: int) -> ModelPlan:
    return ModelPlan(
        name=f"m{number:02d}",
        monitor="shared-drift" if number in _SHARE_A_MONITOR else f"m{number:02d}-drift",
        launcher="adf" if number % 2 else "aml",
        in_flight=_IN_FLIGHT[number % 3],
        seconds=round(dice.uniform(0.2, 3.0), 1),
        hangs=number in {4, 7},
        deploys=number in {0, 5, 10, 15},
    )


def _happening(dice: random.Random, models: tuple[ModelPlan, ...]) -> Happening:
    at = dice.uniform(0, LENGTH)
    kind: Kind = "model" if dice.random() < _V2_SHARE else "dataset"
    draw = dice.random()
    fate: Fate = "delivered"
    if draw < _UNDELIVERED_SHARE:
        fate = "undelivered"
    elif draw < _UNDELIVERED_SHARE + _FORGED_SHARE:
        fate = "forged"
    late = dice.uniform(0, 15) if dice.random() < _LATE_SHARE else dice.uniform(0, 0.3)
    copies = dice.randint(1, 5)
    deliveries = (at + late, *(at + late + dice.uniform(0, 12) for _ in range(copies - 1)))
    return Happening(at, dice.choice(models).name, kind, fate, () if fate == "undelivered" else deliveries)


def _kills(dice: random.Random) -> list[Kill]:
    kills: list[Kill] = []
    at = dice.expovariate(1 / _SECONDS_BETWEEN_KILLS)
    while at < LENGTH + 5:
        [victim] = dice.choices(list(_VICTIMS), weights=list(_VICTIMS.values()))
        kills.append(Kill(at, victim))
        at += dice.expovariate(1 / _SECONDS_BETWEEN_KILLS)
    return kills


def _freezes(dice: random.Random) -> list[Freeze]:
    freezes: list[Freeze] = []
    at = dice.expovariate(1 / _SECONDS_BETWEEN_FREEZES)
    while at < LENGTH:
        victim = dice.choice(_WORKERS)
        freezes += [Freeze(at, victim, stops=True), Freeze(at + dice.uniform(*_FROZEN), victim, stops=False)]
        at += dice.expovariate(1 / _SECONDS_BETWEEN_FREEZES)
    return freezes
