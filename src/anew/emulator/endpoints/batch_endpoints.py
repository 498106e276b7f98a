"""Batch endpoints and their deployments: documents only, because local Azure runs no job on them.

The default deployment takes every job. Only jobs load a model, so a deployment succeeds even when that is impossible.
"""

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from anew.emulator.arm.operations import refuse_while_changing
from anew.emulator.arm.protocol import ArmCall, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.resources import Deployments, Endpoints, Family, deployed_model, deployment_key

BATCH: Final = Family("batchEndpoints", "batchEndpoint", "batchDeployment", "batch_")


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


class BatchDeployments(Deployments):
    """The batch deployment operations of one local Azure; the default deployment cannot be deleted (unverified)."""

    family = BATCH

    def put(self, call: ArmCall) -> Response:
        """Create or replace a deployment."""
        endpoint_id, name = BATCH.endpoint(self._cloud, call)["id"], call.param("deployment")
        reference = section(section(call.body, "properties"), "model").get("assetId")
        model = deployed_model(self._cloud, call.workspace_id, reference)
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, endpoint_id)
            existing = self._cloud.store.get(BATCH.deployment_kind, deployment_key(endpoint_id, name))
            deployment = self._document(call, endpoint_id, existing)
            answer = self._settle(call, deployment, endpoint_id, created=existing is None)
        action = "batch_deployment.created" if existing is None else "batch_deployment.updated"
        self._cloud.journal(action, name=name, endpoint=call.param("endpoint"), model=str(model))
        return answer

    def _check_unused(self, endpoint: Document, deployment: str) -> None:
        if default_deployment(endpoint) == deployment:
            raise user_error("The deployment is the default one of its endpoint; name another one first.")


def routes(cloud: Cloud) -> list[Route]:
    """The routes of batch endpoints and their deployments."""
    return [*BatchEndpoints(cloud).routes(), *BatchDeployments(cloud).routes()]
