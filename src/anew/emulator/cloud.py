"""The one object every service of local Azure is given: its documents, files, event bus, logs and journal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from anew.emulator.state import Document, DocumentStore

_Service = TypeVar("_Service")


def timestamp(at: datetime | None = None) -> str:
    """RFC 3339 in UTC with seven fraction digits, the way Azure prints times."""
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

    @classmethod
    def open(cls, folder: Path, base_url: str) -> "Cloud":
        """Open or create the state kept in folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(base_url.rstrip("/"), folder, DocumentStore(folder / "local-azure.db"))

    def service(self, factory: "Callable[[Cloud], _Service]") -> _Service:
        """The one instance of a service in this cloud, made by factory when first asked for."""
        with self.store.locked():
            if factory not in self._services:
                self._services[factory] = factory(self)
            return cast(_Service, self._services[factory])

    def mode(self, name: str, default: float) -> float:
        """A number from the modes set over the control API, or default when it is not set."""
        return float((self.store.get("modes", "modes") or {}).get(name, default))

    def journal(self, action: str, **fields: Any) -> None:
        """Note an effect (a run created, a delivery made): what tests count, never what anew says of itself."""
        self.store.append("journal", {"at": timestamp(), "action": action, **fields})

    def log(self, table: str, row: Document) -> None:
        """Append a row to a Log Analytics table; TimeGenerated defaults to now."""
        self.store.append(f"log:{table}", {"TimeGenerated": timestamp(), **row})

    def on_event(self, listener: Callable[[Document], None]) -> None:
        """Call listener with every event published from now on."""
        self._listeners.append(listener)

    def publish(self, event: Document) -> None:
        """Hand an event (Event Grid schema) to the event bus."""
        self.journal("event.published", id=event["id"], type=event["eventType"], subject=event["subject"])
        for listener in self._listeners:
            listener(event)
