"""A Prefect worker that runs flows inside itself, so that a run begins without a process of its own.

Prefect's process worker starts two interpreters for each run, 6 to 11 seconds. Our flows are short and wait for
nobody, so they need no process of their own. Start it with `prefect worker start --pool anew --type anew-in-process`.

What it gives up: a flow that exhausts memory or calls `os._exit` takes the worker with it, job variables (`env`,
`command`) are not used, and changed code needs a restart of the worker. `BaseWorker` is Prefect's extension point;
`prefect.flow_engine.run_flow` is semi-internal, so Prefect is pinned and this file is tested on a real server.
"""

import asyncio
import inspect
import math
import os
import sys
from collections.abc import Coroutine
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import anyio
import anyio.abc
import anyio.to_thread
import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.steps.core import run_steps
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.flow_engine import run_flow
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.states import Cancelled, Pending
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult
from pydantic import PrivateAttr

TYPE: Final = "anew-in-process"

_SET_DIRECTORY = "prefect.deployments.steps.set_working_directory"
_CANCEL_POLL = 2.0  # seconds between two looks whether a person wants a run cancelled
_LAST_WORDS = 2.0  # seconds a run has to report itself crashed when the worker stops
_STOP_ATTEMPTS = 2

_LISTEN_AGAIN = 5.0  # seconds until the server is listened to again, after the web socket ended
_LOOK_AT_MOST = 0.5  # seconds between two looks; more of them make Prefect's own writes on SQLite wait
_SCHEDULED = EventFilter(event=EventNameFilter(name=["prefect.flow-run.Scheduled"]))

AnyFlow = Flow[..., Any]


class InProcessResult(BaseWorkerResult):
    """How a run left the worker. The run's own state is reported by the engine."""


class InProcessConfiguration(BaseJobConfiguration):
    """Whose run it is. There is no infrastructure to describe, so nothing is filled in from the pool's template."""

    _deployment: DeploymentResponse | None = PrivateAttr(None)

    @property
    def deployment(self) -> DeploymentResponse:
        """The run's deployment. Raises ValueError for a run without one, which has no entrypoint."""
        if self._deployment is None:
            raise ValueError("the flow run has no deployment, and so no entrypoint")
        return self._deployment

    @classmethod
    async def resolve_for_flow_run(
        cls,
        flow_run: FlowRun,
        *,
        client: PrefectClient,
        work_pool: WorkPool,
        worker_name: str,
        worker_id: UUID | None = None,
        deployment: DeploymentResponse | None = None,
    ) -> Self:
        """Read the deployment, and nothing else: the environment of a process would take 80 ms to make."""
        if deployment is None and flow_run.deployment_id is not None:
            deployment = await client.read_deployment(flow_run.deployment_id)
        configuration = cls()
        configuration._deployment = deployment
        configuration._related_objects = {"deployment": deployment, "flow-run": flow_run}
        return configuration


class InProcessWorker(BaseWorker[InProcessConfiguration, BaseVariables, InProcessResult]):
    """Runs each flow run in a thread with an event loop of its own, so that none can hold up another or the worker."""

    type = TYPE
    job_configuration = InProcessConfiguration
    _description = "Runs short flows inside the worker, without starting a process for each."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flows = FlowCache()
        self._threads = anyio.CapacityLimiter(math.inf)
        self._told = anyio.Event()
        self._listening = anyio.CancelScope()

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """No variables: of some, the server checks the schema, and then the values, for each run. It takes no less."""
        return {"job_configuration": {"env": {}}, "variables": {"type": "object", "properties": {}}}

    async def setup(self) -> None:
        """Besides what every worker does, listen to the server, so that a run does not wait for the next poll."""
        await super().setup()
        if self._runs_task_group is not None:
            self._runs_task_group.start_soon(self._be_told)

    async def teardown(self, *exc_info: Any) -> None:
        """Stop listening, then as every worker does: it waits for its tasks to end."""
        self._listening.cancel()
        await super().teardown(*exc_info)

    async def _be_told(self) -> None:
        with self._listening:
            async with anyio.create_task_group() as both:
                both.start_soon(self._listen)
                both.start_soon(self._look_when_told)

    async def _listen(self) -> None:
        """Note that runs were scheduled. What is missed here, the poll finds."""
        while True:
            try:
                async with get_events_subscriber(filter=_SCHEDULED) as events:
                    async for _ in events:
                        self._told.set()
            except Exception as error:  # noqa: BLE001 (a web socket ends in many ways, and none may end the worker)
                self._logger.debug("not told of scheduled runs for now: %s", error)
            await anyio.sleep(_LISTEN_AGAIN)

    async def _look_when_told(self) -> None:
        while True:
            await self._told.wait()
            self._told = anyio.Event()
            with suppress(httpx.HTTPError):  # the poll has its own patience with a server that is away
                await self.get_and_submit_flow_runs()
            await anyio.sleep(_LOOK_AT_MOST)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: InProcessConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> InProcessResult:
        """Run the flow run to its end. What fails before the flow is begun is reported as Crashed by the caller."""
        execution = Execution(await self._flows.load(configuration.deployment), _as_begun(flow_run))
        await self._execute(execution)
        await self._report(execution)
        # Sooner, the labels and what the caller writes down of a started run would compete with the writes of the run.
        await self._label(flow_run.id)
        if task_status is not None:
            task_status.started(os.getpid())
        return InProcessResult(identifier=str(os.getpid()), status_code=0)

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Nothing is submitted to anywhere: from Pending a run goes straight to Running."""

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Not before the run, but when it has ended."""

    async def _label(self, flow_run_id: UUID) -> None:
        try:
            await super()._give_worker_labels_to_flow_run(flow_run_id)
        except (httpx.HTTPError, ObjectNotFound) as error:
            self._logger.warning("flow run %s has no labels of this worker: %s", flow_run_id, error)

    async def _execute(self, execution: "Execution") -> None:
        async with anyio.create_task_group() as watch:
            watch.start_soon(self._cancel_on_request, execution)
            try:
                await anyio.to_thread.run_sync(execution.run, abandon_on_cancel=True, limiter=self._threads)
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    await self._stop(execution)
                raise
            watch.cancel_scope.cancel()

    async def _stop(self, execution: "Execution") -> None:
        # The engine reports a cancelled flow as Crashed. One cancel may be swallowed while a run is just beginning.
        for _ in range(_STOP_ATTEMPTS):
            execution.cancel()
            with anyio.move_on_after(_LAST_WORDS):
                await asyncio.shield(asyncio.wrap_future(execution.ended))
                return
        await self._propose_crashed_state(execution.flow_run, "The worker was stopped while the flow ran.")

    async def _cancel_on_request(self, execution: "Execution") -> None:
        while not execution.cancel_requested:
            await anyio.sleep(_CANCEL_POLL)
            try:
                state = (await self.client.read_flow_run(execution.flow_run.id)).state
            except ObjectNotFound:
                return
            except httpx.HTTPError:
                continue  # the server is away; the run goes on, and so does the watch
            if state is not None and state.is_cancelling():
                execution.cancel_requested = execution.cancel()

    async def _report(self, execution: "Execution") -> None:
        run_id, error = execution.flow_run.id, execution.error
        if execution.cancel_requested:
            state = Cancelled(message="Cancelled in the worker on request.")
            await self.client.set_flow_run_state(run_id, state, force=True)
        elif isinstance(error, Abort | Pause):
            # The server took the run from us (cancelled, suspended or already done) and has its state.
            self._logger.info("flow run %s was ended by the server: %s", run_id, error)
        elif error is not None:
            # Without this, what fails outside the flow would leave its run Running for good.
            self._logger.error("flow run %s failed outside its flow", run_id, exc_info=error)
            message = f"{type(error).__name__} outside the flow: {error}"[:1000]
            await self._propose_crashed_state(execution.flow_run, message)


def _as_begun(flow_run: FlowRun) -> FlowRun:
    """The flow run as its engine is to see it first; it reads the run again once it is Running.

    The run as handed to a worker is older than its move to Pending. With a deployment, the engine would listen, before
    it begins, for a person who suspends the run: 80 ms, for runs that are over as soon.
    """
    return flow_run.model_copy(update={"state": Pending(), "deployment_id": None})


class Execution:
    """One run of one flow, made for a thread of its own. `error` is what came out of it, once it has ended."""

    def __init__(self, flow: AnyFlow, flow_run: FlowRun) -> None:
        self.flow_run = flow_run
        self.cancel_requested = False
        self.ended: ThreadFuture[None] = ThreadFuture()
        self.error: BaseException | None = None
        self._flow = flow
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self) -> None:
        """Run to the end. The flow's own failure is in the run's state, not in `error`."""
        try:
            outcome = run_flow(self._flow, flow_run=self.flow_run, return_type="state")
            if inspect.iscoroutine(outcome):
                asyncio.run(self._watched(outcome))
        except asyncio.CancelledError:
            pass  # the engine has reported it
        except BaseException as error:  # noqa: BLE001
            # A process boundary, and Prefect's signals and SystemExit are no Exceptions: none may end the worker.
            self.error = error
        finally:
            self.ended.set_result(None)

    def cancel(self) -> bool:
        """Ask the flow to stop at its next await; False when it cannot be asked, as a sync flow cannot."""
        if self._loop is None or self._task is None or self._loop.is_closed():
            return False
        self._loop.call_soon_threadsafe(self._task.cancel)
        return True

    async def _watched(self, outcome: Coroutine[Any, Any, Any]) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await outcome


class FlowCache:
    """Flows by entrypoint and deployment version, each loaded once."""

    def __init__(self) -> None:
        self._flows: dict[tuple[str, str, str], AnyFlow] = {}
        self._lock = asyncio.Lock()

    async def load(self, deployment: DeploymentResponse) -> AnyFlow:
        """The deployment's flow, after its pull steps. Raises ValueError, or whatever importing the code raises."""
        if deployment.entrypoint is None:
            raise ValueError(f"deployment {deployment.name} has no entrypoint")
        key = (str(deployment.id), deployment.entrypoint, f"{deployment.version}/{deployment.updated}")
        # One at a time: pull steps and imports change the working directory and sys.path.
        async with self._lock:
            if key not in self._flows:
                directory = await _pull(deployment)
                self._flows[key] = await anyio.to_thread.run_sync(_import_flow, deployment.entrypoint, directory)
            return self._flows[key]


async def _pull(deployment: DeploymentResponse) -> Path | None:
    steps = deployment.pull_steps or []
    before = Path.cwd()
    output = await run_steps(steps, deployment=deployment) if steps else {}
    directory = output.get("directory") or deployment.path
    # The working directory belongs to the whole process. It is the project's if every step only set it; a step that
    # fetched code elsewhere must not move the flows that already run.
    if not all(_SET_DIRECTORY in step for step in steps):
        os.chdir(before)
    return _absolute(directory) if directory else None


def _absolute(directory: str) -> Path:
    return Path(directory).expanduser().resolve()


def _import_flow(entrypoint: str, directory: Path | None) -> AnyFlow:
    if directory is not None and str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    if directory is not None and ".py:" in entrypoint:
        entrypoint = str(directory / entrypoint)
    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
