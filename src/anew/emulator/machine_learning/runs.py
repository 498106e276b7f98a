"""Jobs as documents: how one is recorded, how its status changes, and which events and logs each change produces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, Mirror, section
from anew.emulator.machine_learning import events as ml_events

KIND: Final = "job"
METRICS_KIND: Final = "job.metrics"
ERROR_PROPERTY: Final = "local_azure.error"
FINAL_STATUSES: Final = frozenset({"Completed", "Failed", "Canceled"})


def job_id(workspace_id: str, name: str) -> str:
    """The ARM id of a job: the key of its document."""
    return f"{workspace_id}/jobs/{name}"


def mirror(cloud: Cloud) -> Mirror:
    """Every job, by ARM id."""
    return cloud.store.mirror(KIND, lambda document: document)


def jobs_of(cloud: Cloud, workspace_id: str) -> list[Document]:
    """The jobs of a workspace with child runs, oldest first; the documents are shared and must not be changed."""
    return mirror(cloud).within(f"{workspace_id}/jobs")


def status_of(cloud: Cloud, key: str) -> str | None:
    """The status of a job, or None when it does not exist."""
    job = mirror(cloud).get(key)
    return None if job is None else job["properties"]["status"]


def workspace_of(resource_id: str) -> str:
    """The ARM id of the workspace a resource belongs to."""
    return resource_id.partition("/jobs/")[0]


def run_folder(cloud: Cloud, name: str) -> Path:
    """The folder of a job's outputs and log."""
    return cloud.folder / "runs" / name


def system_data(existing: Document | None = None) -> Document:
    """The systemData of a resource that is changed now; it was created now unless it existed before."""
    now = timestamp()
    return {
        "createdBy": "local-azure",
        "createdByType": "Application",
        "createdAt": existing["systemData"]["createdAt"] if existing else now,
        "lastModifiedAt": now,
        "lastModifiedBy": "local-azure",
        "lastModifiedByType": "Application",
    }


def new_job(cloud: Cloud, workspace_id: str, name: str, properties: Document) -> Document:
    """The document of a job that was just submitted with these ARM properties."""
    studio = f"{cloud.base_url}/emulator/jobs/{name}/log"
    return {
        "id": job_id(workspace_id, name),
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/jobs",
        "properties": {
            **properties,
            "experimentName": properties.get("experimentName") or "Default",
            "displayName": properties.get("displayName") or name,
            "tags": section(properties, "tags"),
            "properties": section(properties, "properties"),
            "isArchived": False,
            "status": "NotStarted",
            "services": {"Studio": {"jobServiceType": "Studio", "endpoint": studio}},
        },
        "systemData": system_data(),
    }


def record_run(
    cloud: Cloud,
    workspace_id: str,
    name: str,
    *,
    experiment: str,
    status: str,
    tags: Mapping[str, str],
    properties: Mapping[str, str],
    parent: str | None = None,
) -> Document:
    """Record a run that the job runner does not perform, such as a monitor's step; publishes no event."""
    kind = "Pipeline" if parent is None else "Command"
    body: Document = {"jobType": kind, "experimentName": experiment, "tags": tags, "properties": properties}
    job = new_job(cloud, workspace_id, name, body)
    job["properties"] |= {"status": status} | ({"parentJobName": parent} if parent else {})
    return cloud.store.put(KIND, job["id"], job)


def change_status(cloud: Cloud, key: str, status: str, *, error: str | None = None) -> bool:
    """Change the status of a job, log it and publish its events; False when the job has ended or does not exist."""
    with cloud.store.transaction():
        job = cloud.store.get(KIND, key)
        if job is None or job["properties"]["status"] in FINAL_STATUSES:
            return False
        if error is not None:
            job["properties"]["properties"][ERROR_PROPERTY] = error
        job["properties"]["status"] = status
        job["systemData"]["lastModifiedAt"] = timestamp()
        cloud.store.put(KIND, key, job)
        announce(cloud, job)
    return True


def announce(cloud: Cloud, job: Document) -> None:
    """Journal, log and publish the status of a job; success also publishes RunCompleted."""
    workspace_id, details = workspace_of(job["id"]), job["properties"]
    status: str = details["status"]
    cloud.journal("job.status", name=job["name"], status=status)
    log_status(cloud, job)
    fields: ml_events.RunFields = {
        "run_id": job["name"],
        "experiment": details["experimentName"],
        "tags": details["tags"],
        "properties": details["properties"],
    }
    cloud.publish(ml_events.run_status_changed(workspace_id, status=status, **fields))
    if status in FINAL_STATUSES:
        cloud.journal("job.ended", name=job["name"], status=status)
    if status == "Completed":
        cloud.publish(ml_events.run_completed(workspace_id, **fields))


def finish(cloud: Cloud, key: str, status: str, *, error: str | None = None) -> None:
    """End a job that ran; it ends as Canceled if a client asked for its cancellation meanwhile."""
    with cloud.store.transaction():
        job = cloud.store.get(KIND, key)
        if job is not None and job["properties"]["status"] == "CancelRequested":
            status = "Canceled"
        change_status(cloud, key, status, error=error)


def request_cancel(cloud: Cloud, key: str) -> None:
    """Cancel a job: at once while it waits, at its program's next use of the run while it runs, else not at all."""
    with cloud.store.transaction():
        job = cloud.store.get(KIND, key)
        if job is not None:
            status = job["properties"]["status"]
            cloud.journal("job.cancel_requested", name=job["name"], status=status)
            change_status(cloud, key, "Canceled" if status in {"NotStarted", "Queued"} else "CancelRequested")


class JobLog:
    """The output of a job, in the file that Azure ML calls ``user_logs/std_log.txt``."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._path = run_folder(cloud, name) / "user_logs" / "std_log.txt"

    def write(self, text: str) -> None:
        """Append a line."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + "\n")

    def read(self) -> str:
        """Everything written so far."""
        return self._path.read_text(encoding="utf-8") if self._path.exists() else ""


def set_tag(cloud: Cloud, key: str, tag: str, value: str) -> None:
    """Set one tag of a job, as a client's mlflow.set_tag does on Azure ML."""
    with cloud.store.transaction():
        job = cloud.store.get(KIND, key)
        if job is not None:
            job["properties"]["tags"][tag] = value
            cloud.store.put(KIND, key, job)


def log_metric(cloud: Cloud, key: str, name: str, value: float) -> None:
    """Keep the last value of one metric of a job."""
    with cloud.store.transaction():
        kept = cloud.store.get(METRICS_KIND, key) or {"metrics": {}}
        kept["metrics"][name] = value
        cloud.store.put(METRICS_KIND, key, kept)


def log_status(cloud: Cloud, job: Document) -> None:
    """Add the status of a job to the log of status changes."""
    workspace_id, details = workspace_of(job["id"]), job["properties"]
    row: Document = {
        "RunId": job["name"],
        "ParentRunId": details.get("parentJobName") or "",
        "RootRunId": details.get("parentJobName") or job["name"],
        "Status": details["status"],
        "Message": details["properties"].get(ERROR_PROPERTY, ""),
        "WorkspaceName": workspace_id.rsplit("/", 1)[-1],
        "OperationName": "RunStatusChanged",
        "ResultType": "Failed" if details["status"] == "Failed" else "Succeeded",
        "_ResourceId": workspace_id.casefold(),
    }
    cloud.log("AmlRunStatusChangedEvent", row)
