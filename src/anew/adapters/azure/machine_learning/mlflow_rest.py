"""Reading experiments, runs and metrics over MLflow's REST API, at the tracking address of an Azure ML workspace.

It uses httpx, because importing MLflow's own client takes seconds and a hundred megabytes, for four kinds of read
requests. Azure documents the API for such use (Azure/azureml-examples,
`sdk/python/using-mlflow/using-rest-api/using_mlflow_rest_api.ipynb`: the tracking address with https for azureml, then
`/api/2.0/mlflow`, and a bearer token for https://management.azure.com).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
import stamina
from pydantic import BaseModel, ValidationError

from anew.adapters.azure.errors import by_status, first_line, may_pass
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable

PAGE = 500  # Azure refuses 1,000 and more for a metric's history (mlflow/mlflow issue 10694)
MOST_PAGES = 100
MOST_BYTES = 16 * 1024 * 1024

_ATTEMPTS = 3
_PATIENCE = 60.0  # seconds, for all attempts of one request
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class _Labelled(BaseModel):
    key: str
    value: str | None = None


class Point(BaseModel, frozen=True):
    """One logged value of a metric. NaN means that it could not be computed."""

    key: str
    value: float | None = None
    timestamp: int = 0
    step: int = 0


class _Info(BaseModel):
    run_id: str


class _Data(BaseModel):
    tags: list[_Labelled] | None = None
    metrics: list[Point] | None = None


class Run(BaseModel):
    """A run: its id, its tags, and the last point of each of its metrics."""

    info: _Info
    data: _Data = _Data()

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags by name."""
        return {tag.key: tag.value or "" for tag in self.data.tags or ()}

    @property
    def last(self) -> Mapping[str, Point]:
        """The last point by metric."""
        return {point.key: point for point in self.data.metrics or ()}


class _Experiment(BaseModel):
    experiment_id: str


class _OneExperiment(BaseModel):
    experiment: _Experiment


class _Page(BaseModel):
    next_page_token: str | None = None


class _Experiments(_Page):
    experiments: list[_Experiment] | None = None


class _OneRun(BaseModel):
    run: Run


class _Runs(_Page):
    runs: list[Run] | None = None


class _History(_Page):
    metrics: list[Point] | None = None


_Answer = TypeVar("_Answer", bound=BaseModel)
_AnyPage = TypeVar("_AnyPage", bound=_Page)


class _Failed(Exception):
    """A response that is not a success."""

    def __init__(self, status: int, text: str, retry_after: str) -> None:
        super().__init__(status)
        self.status = status
        self.text = text
        self.retry_after = retry_after


def api_url(tracking_uri: str) -> str:
    """The address of the REST API for this tracking address: https, or http for a loopback host.

    azureml-mlflow uses v2.0 with MLflow 2 and later (`get_mlflow_tracking_uri_v2`), whatever version the workspace's
    address has. Raises AzureRefused for an address to which no token may be sent.
    """
    parts = urlsplit(tracking_uri)
    local = parts.hostname in _LOOPBACK
    scheme = parts.scheme if parts.scheme != "azureml" else "http" if local else "https"
    if not parts.hostname or not (scheme == "https" or (scheme == "http" and local)):
        raise AzureRefused(
            f"the workspace's MLflow tracking address is {parts.scheme or 'no'}://{parts.hostname or ''}, "
            "to which no token is sent, because it is neither azureml nor https"
        )
    path = parts.path.rstrip("/").replace("/mlflow/v1.0/", "/mlflow/v2.0/", 1)
    return urlunsplit((scheme, parts.netloc, f"{path}/api/2.0/mlflow", "", ""))


class MlflowApi:
    """The requests. They only read, so they are retried. Several threads may use it.

    Every method raises AzureUnavailable for no answer, 408, 409, 425, 429 and 5xx, and AzureRefused for other failures
    and for a response that is too large, has too many pages, or is not of MLflow's shape.
    """

    def __init__(self, url: str, token: str, http: httpx.Client) -> None:
        self._url = url
        self._token = token
        self._http = http

    def experiment(self, name: str) -> str | None:
        """The id of the experiment of this name."""
        try:
            found = self._call("GET", "experiments/get-by-name", _OneExperiment, {"experiment_name": name})
        except AzureNotFound:
            return None
        return found.experiment.experiment_id

    def experiments(self) -> list[str]:
        """The ids of all experiments."""
        pages = self._pages("POST", "experiments/search", _Experiments, {})
        return [each.experiment_id for page in pages for each in page.experiments or ()]

    def runs(self, experiments: Sequence[str], tags: Mapping[str, str]) -> list[Run]:
        """The runs in these experiments that have all these tags. A value with a quote finds none."""
        if not experiments or any("'" in value for value in tags.values()):
            return []
        # The syntax of the monitors' own component. Azure compares tags by `=` only.
        wanted = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
        body = {"experiment_ids": list(experiments), "filter": wanted, "run_view_type": "ACTIVE_ONLY"}
        return [run for page in self._pages("POST", "runs/search", _Runs, body) for run in page.runs or ()]

    def run(self, run_id: str) -> Run:
        """The run of this id. Raises AzureNotFound."""
        return self._call("GET", "runs/get", _OneRun, {"run_id": run_id}).run

    def history(self, run_id: str, metric: str) -> list[Point]:
        """Every point of a metric of a run, in any order."""
        pages = self._pages("GET", "metrics/get-history", _History, {"run_id": run_id, "metric_key": metric})
        return [point for page in pages for point in page.metrics or ()]

    def _pages(self, method: str, path: str, model: type[_AnyPage], fields: Mapping[str, Any]) -> Iterator[_AnyPage]:
        token: str | None = None
        for _ in range(MOST_PAGES):
            paging = {"max_results": PAGE} | ({"page_token": token} if token else {})
            page = self._call(method, path, model, {**fields, **paging})
            yield page
            if not page.next_page_token:
                return
            if page.next_page_token == token:
                raise AzureRefused(f"MLflow {path}: the page after '{token}' is the same page again")
            token = page.next_page_token
        raise AzureRefused(f"MLflow {path}: more than {MOST_PAGES} pages of {PAGE}")

    def _call(self, method: str, path: str, model: type[_Answer], fields: Mapping[str, Any]) -> _Answer:
        body = self._send(method, path, fields)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise AzureRefused(
                f"MLflow {path}: the response has the wrong shape: {f'{at}: ' if at else ''}{first['msg']}"
            ) from error

    def _send(self, method: str, path: str, fields: Mapping[str, Any]) -> bytes:
        where = f"MLflow {path}"
        try:
            for attempt in stamina.retry_context(
                on=_passes, attempts=_ATTEMPTS, timeout=_PATIENCE, wait_initial=0.2, wait_max=5.0
            ):
                with attempt:
                    return self._once(method, path, fields)
        except _Failed as error:
            raise by_status(where, error.status, error.text.replace(self._token, "...")) from error
        except httpx.HTTPError as error:
            raise AzureUnavailable(f"{where}: no answer: {first_line(str(error)) or type(error).__name__}") from error
        raise AssertionError("a retry context either returns or raises")

    def _once(self, method: str, path: str, fields: Mapping[str, Any]) -> bytes:
        given: dict[str, Any] = {"params": dict(fields)} if method == "GET" else {"json": dict(fields)}
        headers = {"Authorization": f"Bearer {self._token}"}
        with self._http.stream(method, f"{self._url}/{path}", headers=headers, **given) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise AzureRefused(f"MLflow {path}: the response is larger than {MOST_BYTES // 1024**2} MB")
        if not response.is_success:
            raise _Failed(response.status_code, _said(bytes(body)), response.headers.get("Retry-After", ""))
        return bytes(body)


def _passes(error: Exception) -> bool | float:
    if isinstance(error, _Failed):
        after = error.retry_after
        return may_pass(error.status) and (min(float(after), 10.0) if after.isdecimal() else True)
    return isinstance(error, httpx.TransportError)


def _said(body: bytes) -> str:
    # Azure writes {"error": {"message"}} or {"Error": {"Message"}}, MLflow {"message"}.
    try:
        told: Any = json.loads(body)
    except ValueError:
        return first_line(body[:1000].decode("utf-8", "replace"))
    for name in ("error", "Error"):
        told = told.get(name, told) if isinstance(told, dict) else told
    text = told.get("message") or told.get("Message") if isinstance(told, dict) else None
    return first_line(str(text or "no reason given"))
