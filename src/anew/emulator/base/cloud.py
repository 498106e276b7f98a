"""The object that every service of local Azure gets: its documents, files, event bus, logs and journal."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from anew.emulator.base.state import Document, DocumentStore

_Service = TypeVar("_Service")
MODES: Final = "modes"
_OUTBOX: Final = "outbox"


def timestamp(at: datetime | None = None) -> str:
    """The time in RFC 3339 and UTC with seven fraction digits, as Azure prints it."""
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


@dataclass
class Cloud:
    """One local Azure: everything is kept below folder, and base_url is where clients reach it."""

    base_url: str
    folder: Path
    store: DocumentStore
    _listeners: list[Callable[[Document], None]] = field(default_factory=list[Callable[[Document], None]])
    _services: dict[object, object] = field(default_factory=dict[object, object])
    _services_lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, folder: Path, base_url: str) -> "Cloud":
        """Open or create the state kept in folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(base_url.rstrip("/"), folder, DocumentStore(folder / "local-azure.db"))

    def service(self, factory: "Callable[[Cloud], _Service]") -> _Service:
        """The one instance of a service in this cloud, made by factory when first asked for."""
        with self._services_lock:
            if factory not in self._services:
                self._services[factory] = factory(self)
            return cast(_Service, self._services[factory])

    def mode(self, name: str, default: float) -> float:
        """A number from the modes set over the control API, or default when it is not set."""
        modes = self.store.mirror(MODES, lambda document: document).get(MODES)
        return float((modes or {}).get(name, default))

    def journal(self, action: str, **fields: Any) -> None:
        """Note an effect (a run created, a delivery made), which tests count; anew itself never writes here."""
        self.store.append("journal", {"at": timestamp(), "action": action, **fields})

    def log(self, table: str, row: Document) -> None:
        """Append a row to a Log Analytics table; TimeGenerated defaults to now."""
        self.log_all(table, [row])

    def log_all(self, table: str, rows: Iterable[Document]) -> None:
        """Append rows to a Log Analytics table, all of them or none."""
        now = timestamp()

        def dated(row: Document) -> Document:
            # Times are compared as text, so all have the form that `timestamp` writes.
            given = row.get("TimeGenerated")
            return {**row, "TimeGenerated": now if given is None else timestamp(datetime.fromisoformat(given))}

        self.store.append_all(f"log:{table}", map(dated, rows))

    def on_event(self, listener: Callable[[Document], None]) -> None:
        """Call listener with every event published from now on."""
        self._listeners.append(listener)

    def publishing_to(self, listener: Callable[[Document], None]) -> "Cloud":
        """The same cloud, whose events go to this listener only."""
        return replace(self, _listeners=[listener])

    def publish(self, event: Document) -> None:
        """Hand an event (Event Grid schema) to the event bus, after the current transaction.

        At least once: an event that a crash kept from the bus is handed over at the next start, with the same id.
        """
        with self.store.transaction():
            self.journal("event.published", id=event["id"], type=event["eventType"], subject=event["subject"])
            self.store.put(_OUTBOX, event["id"], event)
            self.store.after_commit(lambda: self._hand_over(event))

    def publish_left_over(self) -> None:
        """Hand over the events that an earlier process left in the outbox; call it when all listeners exist."""
        for event in self.store.list(_OUTBOX):
            self._hand_over(event)

    def _hand_over(self, event: Document) -> None:
        for listener in self._listeners:
            listener(event)
        self.store.delete(_OUTBOX, event["id"])
