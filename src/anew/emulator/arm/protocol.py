"""The parts that all routes of Azure Resource Manager share: ids, errors, the bearer check, pages and bodies."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlencode

import pydantic
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document

GROUP_PATH: Final = "/subscriptions/{subscription}/resourceGroups/{group}"
WORKSPACE_PATH: Final = GROUP_PATH + "/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
PAGE_SIZE: Final = 30
_Model = TypeVar("_Model", bound=pydantic.BaseModel)


class ArmError(Exception):
    """A refused request, with the error of Azure Resource Manager; the app turns it into the response."""

    def __init__(self, status: int, code: str, message: str, inner: Document | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner

    def response(self) -> JSONResponse:
        """The ARM error document as a response."""
        return arm_error(self.status, self.code, self.message, inner=self.inner)


@dataclass(frozen=True)
class ArmCall:
    """One request to an ARM route: its path parameters, query and JSON body (empty when none was sent)."""

    request: Request
    body: Document

    @property
    def workspace_id(self) -> str:
        """The ARM id of the workspace named in the path."""
        return WORKSPACE_PATH.format(**self.request.path_params)

    @property
    def resource_id(self) -> str:
        """The ARM id in the path itself."""
        return self.request.url.path

    def param(self, name: str) -> str:
        """A path parameter."""
        return cast(str, self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A query parameter, or None when it was not given."""
        return self.request.query_params.get(name)

    def shows(self, resource: Document) -> bool:
        """Whether the query's listViewType (default ActiveOnly) includes this resource, which may be archived."""
        view = self.query("listViewType") or "ActiveOnly"
        return view == "All" or bool(resource["properties"].get("isArchived")) == (view == "ArchivedOnly")

    def parsed(self, model: type[_Model], code: str = "BadRequest") -> _Model:
        """The body as a model.

        Raises:
            ArmError: 400 with this code when the body does not fit the model.
        """
        try:
            return model.model_validate(self.body)
        except pydantic.ValidationError as error:
            raise ArmError(400, code, str(error)) from error

    def number(self, name: str, default: int) -> int:
        """A whole number from the query, or default when it was not given.

        Raises:
            ArmError: 400 when it is no number.
        """
        text = self.query(name)
        try:
            return default if text is None else int(text)
        except ValueError as error:
            raise ArmError(400, "BadArgument", f"The query parameter {name} must be a number.") from error


def arm_error(status: int, code: str, message: str, *, inner: Document | None = None) -> JSONResponse:
    """An ARM error response: ``{"error": {"code", "message"}}``, with an innererror where Azure ML gives one."""
    error: Document = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = inner
    return JSONResponse({"error": error}, status)


def require_bearer(request: Request) -> JSONResponse | None:
    """The 401 for a request without a bearer token, or None when it has one; the token itself is not verified."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.casefold() == "bearer" and token.strip():
        return None
    message = "Authentication failed. The 'Authorization' header is missing or has no bearer token."
    response = arm_error(401, "AuthenticationFailed", message)
    response.headers["WWW-Authenticate"] = 'Bearer authorization_uri="https://login.microsoftonline.com/common"'
    return response


def not_found(resource_id: str) -> ArmError:
    """The 404 of a resource that does not exist."""
    return ArmError(404, "ResourceNotFound", f"The Resource '{resource_id}' was not found.")


def stored(cloud: Cloud, kind: str, key: str) -> Document:
    """The document of a resource, whose key is its ARM id; raises ArmError (404) when it does not exist."""
    document = cloud.store.get(kind, key)
    if document is None:
        raise not_found(key)
    return document


def user_error(message: str, inner: Document | None = None) -> ArmError:
    """The 400 of Azure ML for a request that it understands and refuses."""
    return ArmError(400, "UserError", message, inner)


def arm_route(path: str, method: str, function: Callable[[ArmCall], Response]) -> Route:
    """A route whose function runs on a worker thread with the decoded body, so that it may block."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(function, ArmCall(request, decode_body(await request.body())))

    return Route(path, endpoint, methods=[method])


def decode_body(raw: bytes) -> Document:
    """A JSON object from a request body; an empty body is an empty object.

    Raises:
        ArmError: 400 when the body is not a JSON object.
    """
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ArmError(400, "InvalidRequestContent", f"The request content was invalid: {error}.") from error
    if not isinstance(body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid: a JSON object is expected.")
    return cast(Document, body)


def list_page(cloud: Cloud, call: ArmCall, items: Iterable[Document]) -> JSONResponse:
    """One page of a list, with a nextLink to the next page if there is one; it reads no more items than that."""
    start = call.number("$skip", 0)
    size = min(call.number("$top", PAGE_SIZE), call.number("count", PAGE_SIZE), PAGE_SIZE)
    found = list(islice(items, start, start + size + 1))
    page: dict[str, Any] = {"value": found[:size]}
    limited = call.query("$top") is not None and call.query("$skip") is None
    if len(found) > size and not limited:
        query = {**call.request.query_params, "$skip": str(start + size)}
        page["nextLink"] = f"{cloud.base_url}{call.request.url.path}?{urlencode(query)}"
    return JSONResponse(page)
