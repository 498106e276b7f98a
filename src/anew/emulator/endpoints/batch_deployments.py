"""Deployments of batch endpoints. Only jobs load their model, so one that cannot be loaded is deployed all the same."""

from starlette.responses import Response
from starlette.routing import Route

from anew.emulator.arm.operations import refuse_while_changing
from anew.emulator.arm.protocol import ArmCall, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.batch_endpoints import BATCH, default_deployment
from anew.emulator.endpoints.deployed_models import deployed_model
from anew.emulator.endpoints.resources import Deployments, deployment_key


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

    def _deleted(self, call: ArmCall, endpoint: Document | None) -> None:
        self._cloud.journal("batch_deployment.deleted", name=call.param("deployment"), endpoint=call.param("endpoint"))


def routes(cloud: Cloud) -> list[Route]:
    """The routes of batch deployments."""
    return BatchDeployments(cloud).routes()
