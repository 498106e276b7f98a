"""A ledger at whose every call the process can die."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from anew.adapters.memory.azure import MemoryAzure
from anew.engine.base.ledger import Ledger


class FallibleLedger:
    """A ledger whose every call is one of the calls of the world, so that the process can die there."""

    def __init__(self, ledger: Ledger, azure: MemoryAzure) -> None:
        self._ledger = ledger
        self._azure = azure

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._ledger, name)

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._azure.call(f"ledger.{name}"):
                return method(*args, **kwargs)

        return call
