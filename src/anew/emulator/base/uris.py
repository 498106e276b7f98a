"""The URIs by which Azure ML names data, models and job outputs; parsed without access to the disk."""

import re
from dataclasses import dataclass
from typing import Final

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_DATASTORE: Final = re.compile(
    rf"azureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/)?"
    rf"datastores/(?P<store>{NAME})/paths/(?P<path>.*)",
    re.IGNORECASE,
)
_JOB_OUTPUT: Final = re.compile(
    rf"azureml://(?:subscriptions/.+/)?jobs/(?P<job>{NAME})/outputs/(?:artifacts/(?:paths/)?)?"
    rf"(?P<output>{NAME})/?(?:paths/)?(?P<path>.*)",
    re.IGNORECASE,
)
_VERSIONED: Final = re.compile(
    rf"(?:azureml:)?(?:/subscriptions/.+/workspaces/[^/]+/(?P<kind>models|environments)/)?"
    rf"(?P<name>(?!azureml:){NAME})(?:/versions/|:)(?P<version>{NAME})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DatastorePath:
    """A path in a datastore of the workspace."""

    store: str
    path: str


@dataclass(frozen=True)
class JobOutput:
    """A named output of a job, or a path below it."""

    job: str
    output: str
    path: str = ""


@dataclass(frozen=True)
class VersionedName:
    """A registered asset (a model, an environment) by name and version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def parse_uri(uri: str) -> DatastorePath | JobOutput | VersionedName:
    """The asset of a URI, of an ``azureml:NAME:VERSION`` reference or of the ARM id of an asset version.

    Raises:
        ValueError: the text is none of these, or its path leaves the place it names.
    """
    found: DatastorePath | JobOutput | None = None
    if match := _DATASTORE.fullmatch(uri):
        found = DatastorePath(match["store"], match["path"].strip("/"))
    elif match := _JOB_OUTPUT.fullmatch(uri):
        found = JobOutput(match["job"], match["output"], match["path"].strip("/"))
    if found is None:
        return parse_versioned(uri)
    if ".." in found.path.split("/"):
        raise ValueError(f"{uri!r} leaves the place it names")
    return found


def parse_versioned(reference: str) -> VersionedName:
    """The name and version in ``azureml:NAME:VERSION``, ``NAME:VERSION`` or an ARM id ending in them.

    Raises:
        ValueError: the text has no name and version.
    """
    match = _VERSIONED.fullmatch(reference)
    if match is None:
        raise ValueError(f"{reference!r} is neither an azureml:// path nor a NAME:VERSION reference")
    return VersionedName(match["name"], match["version"])
