"""Batch endpoints: the documents, whose default deployment takes every job. Jobs on them are not run."""

from typing import Final

from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.resources import Endpoints, Family

BATCH: Final = Family("batchEndpoints", "batchEndpoint", "batchDeployment")


def default_deployment(endpoint: Document) -> str | None:
    """The deployment that takes the jobs, if there is one."""
    name: str | None = section(endpoint["properties"], "defaults").get("deploymentName")
    return name


class BatchEndpoints(Endpoints):
    """The batch endpoint operations of one local Azure."""

    family = BATCH

    def _complete(self, endpoint: Document, call: ArmCall) -> None:
        properties: Document = endpoint["properties"]
        jobs = f"{self._cloud.base_url}/batch/{call.param('endpoint')}/jobs"
        properties |= {
            "authMode": properties.get("authMode") or "AADToken",
            "defaults": section(properties, "defaults"),
            "scoringUri": jobs,
            "swaggerUri": f"{jobs}/swagger.json",
        }

    def _check(self, endpoint: Document) -> None:
        name = default_deployment(endpoint)
        if name and name not in {each["name"] for each in BATCH.deployments(self._cloud, endpoint["id"])}:
            raise user_error(f"The default deployment {name} does not exist.")

    def _journal(self, existing: Document | None, endpoint: Document) -> None:
        if existing is None:
            self._cloud.journal("batch_endpoint.created", name=endpoint["name"])
        default = default_deployment(endpoint)
        if default != (default_deployment(existing) if existing else None):
            self._cloud.journal("batch_endpoint.default", name=endpoint["name"], deployment=default)

    def _deleted(self, call: ArmCall, key: str) -> None:
        self._cloud.journal("batch_endpoint.deleted", name=call.param("endpoint"))


def routes(cloud: Cloud) -> list[Route]:
    """The routes of batch endpoints."""
    return BatchEndpoints(cloud).routes()
