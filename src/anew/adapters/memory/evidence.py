"""The ports around decisions in memory: evidence, missed events and notifications."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from anew.adapters.memory.azure import MemoryAzure
from anew.core.decisions.decide import monitors_of
from anew.core.events.event import Cause, Event
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import EvidenceSpec, LogQuery, MonitorHistory
from anew.core.policies.policy import Policy
from anew.engine.base.ports import Notification


class MemorySource:
    """Implements EvidenceReader for every kind of source, by the model's signals within the source's window."""

    def __init__(self, azure: MemoryAzure) -> None:
        self._azure = azure

    def read(self, source: EvidenceSpec, policy: Policy, history: History, now: datetime) -> list[Signal]:
        with self._azure.call("source.read"):
            signals = self._azure.signals.get(policy.model, [])
            window = source.window if isinstance(source, LogQuery | MonitorHistory) else policy.evidence.max_age
            return [signal for signal in signals if now - window <= signal.at <= now]


class MemoryNotifier:
    """Implements Notifier and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[Notification] = []

    def send(self, notification: Notification) -> None:
        self.sent.append(notification)


class MemoryMissedEvents:
    """Implements MissedEvents by `MemoryAzure.happened`. It confirms all events but those in `MemoryAzure.forged`."""

    def __init__(self, azure: MemoryAzure) -> None:
        self._azure = azure

    def drift(self, monitors: Collection[str], since: datetime, now: datetime) -> list[Event]:
        watched = {name.casefold() for name in monitors}
        with self._azure.call("missed.drift"):
            return [
                event
                for event in self._azure.happened
                if event.cause is Cause.DRIFT
                and since <= event.time <= now
                and watched & {name.casefold() for name in monitors_of(event)}
            ]

    def completed(self, experiments: Collection[str], since: datetime, now: datetime) -> list[Event]:
        with self._azure.call("missed.completed"):
            return [
                event
                for event in self._azure.happened
                if event.cause is Cause.RUN_COMPLETED and since <= event.time <= now and event.experiment in experiments
            ]

    def confirm(self, events: Sequence[Event], now: datetime) -> Mapping[str, Event]:
        with self._azure.call("missed.confirm"):
            return {event.key: event for event in events if event.key not in self._azure.forged}
