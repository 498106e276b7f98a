"""Requests that are not sent if they are late.

Between an intent and its request a process may stand still for minutes (a suspended machine, a slow sign-in). Meanwhile
another process may have searched, found nothing and acted. A request sent now would create a second run, or a run that
belongs to no retraining.
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
    """Within it, clients with `refuse_late` send no request that changes something at *until* or later. With None, no
    request is late.

    Raises AzureUnavailable when a request was not sent.
    """
    if until is None:
        yield
        return
    window = _Window(until, clock)
    token = _window.set(window)
    late = f"too late: the request had to be sent before {until:%H:%M:%SZ}"
    try:
        yield
    except Exception as error:
        # An SDK may turn the error that its hook raised into any other. No error is swallowed: a late request becomes
        # AzureUnavailable, and every other error goes on unchanged.
        if window.refused:
            raise AzureUnavailable(late) from error
        raise
    finally:
        _window.reset(token)
    if window.refused:
        raise AzureUnavailable(late)
    assert window.asked, "the client was made without raw_request_hook=refuse_late"


def refuse_late(request: "PipelineRequest[Any]") -> None:
    """The `raw_request_hook` of every SDK client, which calls it after sign-in and for each attempt, right before it
    sends the request. Raises AzureUnavailable if it is late.
    """
    window = _window.get()
    if window is None:
        return
    window.asked = True
    if request.http_request.method not in _READS and window.clock() >= window.until:
        window.refused = True
        raise AzureUnavailable("late")
