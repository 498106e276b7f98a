"""The read quota of Azure Resource Manager, shared in the ledger by all processes that act as one principal.

ARM gives each principal in a subscription a bucket of 250 reads, refilled by 25 a second, and answers 429 with
Retry-After beyond it. Because every process waits here before its request, no busy process starves the others.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

from anew.core.base.token_bucket import ARM_READS
from anew.engine.base.ledger import Ledger
from anew.errors import AzureThrottled

_LOT = 5.0  # tokens taken at once, so that not every request needs a transaction
_PATIENCE = timedelta(seconds=20)  # the longest wait for a token; the next tick tries again
_PAUSE = timedelta(seconds=10)  # after a 429 without Retry-After
_LONGEST_PAUSE = timedelta(minutes=5)  # a longer Retry-After is cut to this
_QUERIES = ("/querypipelineruns", "/queryactivityruns")


class ArmQuota(SansIOHTTPPolicy[Any, Any]):
    """A per-retry policy for the pipelines of the Azure SDK, which several threads and clients may share.

    Raises AzureThrottled when no token is free soon, and for every response 429, which pauses all reads.
    """

    def __init__(
        self,
        ledger: Ledger,
        subscription_id: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger = ledger
        self._bucket = f"arm-reads/{subscription_id.casefold()}"
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._left = 0.0

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Wait for a token if ARM counts the request as a read."""
        if _is_arm(request) and _is_read(request):
            with self._lock:
                if self._left < 1:
                    self._refill()
                self._left -= 1

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Pause the reads of all processes after a 429."""
        if response.http_response.status_code != 429 or not _is_arm(request):
            return
        pause = _retry_after(response.http_response.headers.get("Retry-After", ""))
        if _is_read(request):
            self._ledger.pause_bucket(self._bucket, self._clock() + pause)
            with self._lock:
                self._left = 0.0
        where = f"{request.http_request.method} {_path(request).rpartition('/providers/')[2]}"
        raise AzureThrottled(f"Azure Resource Manager answered 429 to {where}", delay=pause)

    def _refill(self) -> None:
        waited = timedelta(0)
        while wait := self._ledger.take_tokens(self._bucket, _LOT, ARM_READS, self._clock()):
            waited += wait
            if waited > _PATIENCE:
                raise AzureThrottled("the quota of reads of Azure Resource Manager is used up", delay=wait)
            self._sleep(wait.total_seconds())
        self._left = _LOT


def _is_arm(request: PipelineRequest[Any]) -> bool:
    return "/subscriptions/" in request.http_request.url.casefold() and "/history/" not in request.http_request.url


def _is_read(request: PipelineRequest[Any]) -> bool:
    return request.http_request.method == "GET" or _path(request).endswith(_QUERIES)


def _path(request: PipelineRequest[Any]) -> str:
    return request.http_request.url.partition("?")[0].casefold()


def _retry_after(text: str) -> timedelta:
    try:
        return min(timedelta(seconds=max(float(text), 0.0)), _LONGEST_PAUSE)
    except (ValueError, OverflowError):
        return _PAUSE
