"""Log Analytics' query API over the tables local Azure writes; every workspace sees the same tables."""

import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, arm_route
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.log_analytics.kql import LogTables, QueryError, QueryTable, Schema


def _schema(columns: str) -> Schema:
    """The columns of a table in order, each as NAME:TYPE or, for a string, as NAME."""
    return {name: kind or "string" for name, _, kind in (column.partition(":") for column in columns.split())}


_WORKSPACE: Final = "WorkspaceId WorkspaceName _ResourceId"
SCHEMAS: Final[Mapping[str, Schema]] = {
    "ADFPipelineRun": _schema(
        "TimeGenerated:datetime OperationName RunId PipelineName Status Start:datetime End:datetime "
        "FailureType ErrorCode ErrorMessage Parameters SystemParameters CorrelationId"
    ),
    "AmlModelsEvent": _schema(
        f"TimeGenerated:datetime AmlModelName OperationName ResultType ResultSignature Identity {_WORKSPACE}"
    ),
    "AmlOnlineEndpointConsoleLog": _schema(
        "TimeGenerated:datetime OperationName DeploymentName InstanceId ContainerName ContainerImageName "
        "Message _ResourceId"
    ),
    "AmlOnlineEndpointTrafficLog": _schema(
        "TimeGenerated:datetime OperationName Location AuthType Method Path Protocol ResponseCode:int "
        "ResponseCodeReason ModelStatusCode:int ModelStatusReason RequestPayloadSize:int "
        "ResponsePayloadSize:int RequestDurationMs:int RequestThrottlingDelayMs:int ResponseDurationMs:int "
        "ResponseThrottlingDelayMs:int TotalDurationMs:int EndpointName DeploymentName UserAgent XRequestId "
        "XMSClientRequestId _ResourceId"
    ),
    "AmlRunStatusChangedEvent": _schema(
        "TimeGenerated:datetime RunId ParentRunId RootRunId Status Message TriggeringUserName OperationName "
        f"ResultType CorrelationId {_WORKSPACE}"
    ),
    "AppMetrics": _schema("TimeGenerated:datetime Name Sum:real ItemCount:int Min:real Max:real Properties:dynamic"),
}
_DURATION: Final = re.compile(
    r"P(?:(?P<weeks>[\d.]+)W)?(?:(?P<days>[\d.]+)D)?"
    r"(?:T(?:(?P<hours>[\d.]+)H)?(?:(?P<minutes>[\d.]+)M)?(?:(?P<seconds>[\d.]+)S)?)?"
)


def routes(cloud: Cloud) -> list[Route]:
    """The routes of the query API; the batch route comes first, for a resource path would match it too."""
    return [
        arm_route("/v1/$batch", "POST", lambda call: _batch(cloud, call)),
        arm_route("/v1/workspaces/{workspace}/query", "POST", lambda call: _query(cloud, call)),
        arm_route("/v1/{resource:path}/query", "POST", lambda call: _query(cloud, call)),
    ]


def parse_timespan(text: str | None, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Start and end of an ISO 8601 timespan: a duration up to now, start/end, start/duration or duration/end.

    Raises ValueError when it is none of these.
    """
    if not text:
        return None, None
    first, slash, second = text.partition("/")
    if not slash:
        return now - _duration(first), now
    if first.startswith("P"):
        end = _moment(second)
        return end - _duration(first), end
    start = _moment(first)
    return start, start + _duration(second) if second.startswith("P") else _moment(second)


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"'{text}' is not an ISO 8601 duration.")
    return timedelta(**{unit: float(value) for unit, value in match.groupdict().items() if value})


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _query(cloud: Cloud, call: ArmCall) -> Response:
    status, body = _answer(cloud, call.body, call.request.headers.get("prefer"))
    return JSONResponse(body, status)


def _batch(cloud: Cloud, call: ArmCall) -> Response:
    responses: list[Document] = []
    requests: list[Document] = call.body.get("requests") or []
    for request in requests:
        headers = section(request, "headers")
        status, body = _answer(cloud, section(request, "body"), headers.get("prefer") or headers.get("Prefer"))
        responses.append({"id": request["id"], "status": status, "headers": {}, "body": body})
    return JSONResponse({"responses": responses})


def _answer(cloud: Cloud, request: Document, prefer: str | None) -> tuple[int, Document]:
    query = request.get("query")
    if not isinstance(query, str) or not query.strip():
        return 400, _bad_request("QueryValidationError", "BadArgumentError", "The query is missing.")
    began = time.perf_counter()
    try:
        start, end = parse_timespan(request.get("timespan"), datetime.now(UTC))
    except ValueError as error:
        return 400, _bad_request("QueryValidationError", "InvalidTimespan", str(error))
    try:
        table = cloud.service(_log_tables).run_query(query, start, end)
    except QueryError as error:
        return 400, _bad_request(error.kind, error.code, str(error))
    body = _tables(table, int(cloud.mode("log_query_partial_rows", 0)))
    if "include-statistics=true" in (prefer or ""):
        body["statistics"] = {"query": {"executionTime": time.perf_counter() - began}}
    return 200, body


def _log_tables(cloud: Cloud) -> LogTables:
    return LogTables(lambda table, after: cloud.store.appended(f"log:{table}", after), SCHEMAS)


def _tables(table: QueryTable, partial_rows: int) -> Document:
    """The answer's body; with partial_rows, only that many rows and the error of a query that stopped early."""
    columns = [{"name": name, "type": kind} for name, kind in zip(table.columns, table.types, strict=True)]
    body: Document = {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": table.rows}]}
    if partial_rows:
        body["tables"][0]["rows"] = table.rows[:partial_rows]
        inner = {
            "code": "-2133196799",
            "message": "The results of this query exceed the set limit of records.",
            "severity": 2,
        }
        body["error"] = {
            "code": "PartialError",
            "message": "There were some errors when processing your query.",
            "details": [{"code": "EngineError", "message": "The query was stopped early.", "innererror": inner}],
        }
    return body


def _bad_request(kind: str, code: str, message: str) -> Document:
    titles = {
        "SemanticError": "A semantic error occurred.",
        "SyntaxError": "A recognition error occurred in the query.",
    }
    inner: Document = {"code": code, "message": message}
    return {
        "error": {
            "message": "The request had some invalid properties",
            "code": "BadArgumentError",
            "correlationId": str(uuid.uuid4()),
            "innererror": {"code": kind, "message": titles.get(kind, message), "innererror": inner},
        }
    }
