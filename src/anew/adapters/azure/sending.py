"""Requests that are not sent when they are late.

Between an intent and its request a process may stand still for minutes (a suspended machine, a slow sign-in). By then
others may have looked, found nothing, and acted; what is sent after all would be a second run, or one of nobody's.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anew.errors import AzureUnavailable

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class _Window:
    until: datetime
    clock: Callable[[], datetime]
    asked: bool = False
    refused: bool = False


_window: ContextVar[_Window | None] = ContextVar("window", default=None)


@contextmanager
def sent_before(until: datetime | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Generator[None]:
    """Within it, clients that have `refuse_late` send nothing that changes something once it is *until*. By None,
    nothing is late.

    Raises AzureUnavailable when something was not sent.
    """
    if until is None:
        yield
        return
    window = _Window(until, clock)
    token = _window.set(window)
    late = f"too late to send what was to be sent before {until:%H:%M:%SZ}"
    try:
        yield
    except Exception as error:
        # Of what its hook raises, an SDK may make any error of its own. Nothing is swallowed: a refusal is told of as
        # what it is, and every other error goes on as it came.
        if window.refused:
            raise AzureUnavailable(late) from error
        raise
    finally:
        _window.reset(token)
    if window.refused:
        raise AzureUnavailable(late)
    assert window.asked, "the client was made without raw_request_hook=refuse_late"


def refuse_late(request: "PipelineRequest[Any]") -> None:
    """The `raw_request_hook` of every SDK client: it is called after sign-in and for each attempt, right before the
    request goes out. Raises AzureUnavailable for a late one.
    """
    window = _window.get()
    if window is None:
        return
    window.asked = True
    if request.http_request.method not in _READS and window.clock() >= window.until:
        window.refused = True
        raise AzureUnavailable("late")
