"""How Azure Resource Manager limits requests: token buckets for each subscription, principal and class of request.

Sizes and rates are those of "Understand how Azure Resource Manager throttles requests" (Microsoft Learn). Data Factory
counts run queries separately ("Data Factory limits": 1,000 monitoring queries a minute); how Resource Manager also
counts them is unverified. Requests are always counted, and refused only in the mode ``arm_throttling``.
"""

import functools
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import jwt
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anew.emulator.arm.protocol import ArmCall, ArmError, arm_error, arm_route
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document

RequestClass = Literal["reads", "writes", "deletes", "queries"]
ARM_PATH: Final = "/subscriptions/"
ANYONE: Final = "anyone"
_QUERY: Final = re.compile(
    r"/factories/[^/]+/(?:pipelineruns/[^/]+/queryActivityruns|queryPipelineRuns)$", re.IGNORECASE
)
_REMAINING: Final = "x-ms-ratelimit-remaining-subscription-"
_KEPT_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests a bucket holds, and how many are added per second."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """The requests that are left at a moment, in seconds."""

    tokens: float
    at: float

    def take(self, limit: Limit, now: float) -> tuple["Bucket", float]:
        """The bucket after one request, and the seconds that the request should have waited, 0 when none."""
        tokens = min(limit.burst, self.tokens + (now - self.at) * limit.per_second)
        if tokens >= 1.0:
            return Bucket(tokens - 1.0, now), 0.0
        return Bucket(tokens, now), (1.0 - tokens) / limit.per_second


LIMITS: Final[Mapping[RequestClass, Limit]] = {
    "reads": Limit(250, 25),
    "writes": Limit(200, 10),
    "deletes": Limit(200, 10),
    "queries": Limit(1000, 1000 / 60),
}
# The class with a limit of its own has its own header (same page).
_HEADERS: Final[Mapping[RequestClass, str]] = {
    name: _REMAINING + ("resource-requests" if name == "queries" else name) for name in LIMITS
}


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one request: how many are left, and the seconds to wait when it is refused."""

    remaining: int
    retry_after: int | None = None


def request_class(method: str, path: str) -> RequestClass:
    """The limit that a request to Resource Manager counts against."""
    if method == "POST" and _QUERY.search(path):
        return "queries"
    if method in ("GET", "HEAD", "OPTIONS"):
        return "reads"
    return "deletes" if method == "DELETE" else "writes"


@functools.lru_cache(maxsize=256)
def principal_of(authorization: str) -> str:
    """The caller, by the bearer token's oid, appid or sub, else ANYONE. The token is not verified."""
    try:
        claims: Document = jwt.decode(authorization.partition(" ")[2], options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return ANYONE
    return str(next((claims[name] for name in ("oid", "appid", "sub") if claims.get(name)), ANYONE))


class ArmRequests:
    """Counts and limits the requests to Resource Manager; one per cloud, thread-safe, lost in a restart."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str, RequestClass], Bucket] = {}
        self._counts: dict[tuple[int, str], Counter[str]] = {}

    def admit(self, method: str, path: str, principal: str, now: float) -> Admission:
        """Count a request at now, in seconds of the Unix epoch, and decide whether it passes."""
        kind = request_class(method, path)
        burst = self._cloud.mode(f"arm_{kind}_burst", LIMITS[kind].burst)
        limit = Limit(burst, self._cloud.mode(f"arm_{kind}_per_second", LIMITS[kind].per_second))
        enforced = bool(self._cloud.mode("arm_throttling", 0.0))
        key = (path.split("/")[2].casefold(), principal, kind)
        with self._lock:
            bucket, wait = self._buckets.get(key, Bucket(limit.burst, now)).take(limit, now)
            self._buckets[key] = bucket
            refused = enforced and wait > 0.0
            self._count(int(now), principal, (kind, "throttled") if refused else (kind,))
        return Admission(int(bucket.tokens), max(1, math.ceil(wait)) if refused else None)

    def minutes(self, since: float) -> list[Document]:
        """The requests at or after a moment, by minute and principal; a throttled one counts in its class too."""
        found: dict[tuple[int, str], Counter[str]] = {}
        with self._lock:
            for (second, principal), counts in self._counts.items():
                if second >= since:
                    found.setdefault((second // 60 * 60, principal), Counter()).update(counts)
        return [
            {
                "minute": datetime.fromtimestamp(minute, UTC).isoformat(),
                "principal": principal,
                **{name: counts[name] for name in (*LIMITS, "throttled")},
            }
            for (minute, principal), counts in found.items()
        ]

    def _count(self, second: int, principal: str, names: tuple[str, ...]) -> None:
        if (second, principal) not in self._counts:
            for old in [key for key in self._counts if key[0] < second - _KEPT_SECONDS]:
                del self._counts[old]
            self._counts[second, principal] = Counter()
        self._counts[second, principal].update(names)


class ArmThrottle:
    """The middleware in front of everything: it counts a request to Resource Manager, and may refuse it."""

    def __init__(self, app: ASGIApp, cloud: Cloud) -> None:
        self._app = app
        self._requests = cloud.service(ArmRequests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and say how many are left, or answer 429."""
        if scope["type"] != "http" or not scope["path"].startswith(ARM_PATH):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        principal = principal_of(Headers(scope=scope).get("authorization", ""))
        admission = self._requests.admit(method, path, principal, time.time())
        header = _HEADERS[request_class(method, path)]

        async def send_with_remaining(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[header] = str(admission.remaining)
            await send(message)

        app = self._app if admission.retry_after is None else _too_many_requests(admission.retry_after)
        await app(scope, receive, send_with_remaining)


def routes(cloud: Cloud) -> list[Route]:
    """The control route that counts the requests to Resource Manager."""
    requests = cloud.service(ArmRequests)

    def read(call: ArmCall) -> Response:
        since = call.query("since")
        try:
            moment = datetime.fromisoformat(since).timestamp() if since else 0.0
        except ValueError as error:
            raise ArmError(400, "BadArgument", "The query parameter since must be a date-time.") from error
        return JSONResponse({"value": requests.minutes(moment)})

    return [arm_route("/emulator/arm/requests", "GET", read)]


def _too_many_requests(retry_after: int) -> ASGIApp:
    message = f"The request is being throttled. Retry after {retry_after} seconds."
    response = arm_error(429, "TooManyRequests", message)
    response.headers["Retry-After"] = str(retry_after)
    return response
