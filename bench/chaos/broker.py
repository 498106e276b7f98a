"""What delivers drift events, as Event Grid does: at least once, late, twice, out of order, and again until they are
taken. A few it loses. Beside them comes what is no event at all, and what somebody made up.
"""

import heapq
import itertools
import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from anew.core.events.event import Cause, Event
from anew.core.events.parsing import parse_event
from anew.emulator.client import LocalAzure
from bench.chaos.plan import Happening, Plan
from bench.chaos.world import SECRET, WORKSPACE, World

_SENDERS = 8
_RETRY = (0.2, 0.5, 1.0, 2.0)
_NEVER_RETRIED = frozenset({400, 401, 403, 413})
_GARBAGE = 25


@dataclass
class Told:
    """What was sent, by inbox key: `acked` was taken by a webhook, `real` happened in Azure, `forged` did not."""

    real: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])  # models it is about, by key
    forged: set[str] = field(default_factory=set[str])
    acked: set[str] = field(default_factory=set[str])
    refused: int = 0
    attempts: int = 0


class Broker:
    """Lets things happen in Azure, and tells the webhooks of them."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.told = Told()
        self._plan = plan
        self._world = world
        self._dice = random.Random(plan.seed + 1)
        self._heap: list[tuple[float, int, list[dict[str, Any]], int]] = []
        self._order = itertools.count()
        self._condition = threading.Condition()
        self._began = time.monotonic()
        self._in_flight = 0
        self._happened = False

    def run(self, on_progress: Callable[[Told, int], None]) -> None:
        """Deliver everything; returns when nothing is left to deliver."""
        senders = [threading.Thread(target=self._send_forever, daemon=True) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        for number, happening in enumerate(self._plan.happenings, start=1):
            time.sleep(max(0.0, self._began + happening.at - time.monotonic()))
            self._happen(happening)
            if number % 100 == 0:
                on_progress(self.told, number)
        for _ in range(_GARBAGE):
            self._schedule(time.monotonic() - self._began, [{"what": "is this", "number": self._dice.random()}])
        with self._condition:
            self._happened = True
            self._condition.wait_for(lambda: not self._heap and not self._in_flight)

    def _happen(self, happening: Happening) -> None:
        model = next(each for each in self._plan.models if each.name == happening.model)
        events = self._forge(model.monitor) if happening.fate == "forged" else self._observe(model.monitor, happening)
        keys = {
            event.key for event in map(parse_event, events) if isinstance(event, Event) and event.cause is Cause.DRIFT
        }
        if happening.fate == "forged":
            self.told.forged |= keys
        else:
            about = frozenset(each.name for each in self._plan.models if each.monitor == model.monitor)
            self.told.real |= dict.fromkeys(keys, about)
        for at in happening.deliveries:
            self._schedule(at, events)

    def _observe(self, monitor: str, happening: Happening) -> list[dict[str, Any]]:
        while True:
            try:
                with LocalAzure(self._world.azure_url, timeout=10) as azure:
                    value = round(self._dice.uniform(0.4, 0.95), 3)
                    arm_id = WORKSPACE.arm_id
                    return azure.observe(arm_id, kind=happening.kind, name=monitor, value=value, publish=False)
            except httpx.HTTPError:  # local Azure was killed; what was half done is another happening
                time.sleep(0.2)

    def _forge(self, monitor: str) -> list[dict[str, Any]]:
        run = f"{uuid.UUID(int=self._dice.getrandbits(128))}_{self._dice.getrandbits(40)}"
        data = {"dataDriftId": "made-up", "dataDriftName": monitor, "runId": run, "driftCoefficient": 0.99}
        return [
            {
                "id": str(uuid.UUID(int=self._dice.getrandbits(128))),
                "topic": WORKSPACE.arm_id,
                "eventType": "Microsoft.MachineLearningServices.DatasetDriftDetected",
                "subject": f"datadrift/made-up/run/{run}",
                "eventTime": datetime.now(UTC).isoformat(),
                "dataVersion": "1",
                "metadataVersion": "1",
                "data": data,
            }
        ]

    def _schedule(self, at: float, events: list[dict[str, Any]], attempt: int = 0) -> None:
        with self._condition:
            heapq.heappush(self._heap, (at, next(self._order), events, attempt))
            self._condition.notify()

    def _send_forever(self) -> None:
        with httpx.Client(timeout=10, trust_env=False) as http:
            while True:
                with self._condition:
                    _, _, events, attempt = self._take()
                answered = self._send(http, events)
                with self._condition:
                    if not answered:
                        wait = _RETRY[min(attempt, len(_RETRY) - 1)]
                        late = time.monotonic() - self._began + wait
                        heapq.heappush(self._heap, (late, next(self._order), events, attempt + 1))
                    self._in_flight -= 1
                    self._condition.notify_all()

    def _take(self) -> tuple[float, int, list[dict[str, Any]], int]:
        while True:
            now = time.monotonic() - self._began
            if self._heap and self._heap[0][0] <= now:
                self._in_flight += 1
                return heapq.heappop(self._heap)
            self._condition.wait(self._heap[0][0] - now if self._heap else None)

    def _send(self, http: httpx.Client, events: list[dict[str, Any]]) -> bool:
        """Whether nothing is left to do about it: taken, or refused for good."""
        url = random.choice(self._world.webhook_urls)
        self.told.attempts += 1
        try:
            answer = http.post(f"{url}/events?code={SECRET}", content=json.dumps(events))
        except httpx.HTTPError:
            return False
        if answer.is_success:
            keys = {event.key for event in map(parse_event, events) if isinstance(event, Event)}
            self.told.acked |= keys
        elif answer.status_code in _NEVER_RETRIED:
            self.told.refused += 1
        return answer.is_success or answer.status_code in _NEVER_RETRIED
