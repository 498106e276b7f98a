"""Models and endpoints of the Azure in memory."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from anew.adapters.memory.azure import MemoryAzure, MemoryDeployment, MemoryEndpoint
from anew.core.base.versions import version_order
from anew.core.policies.deploy import MIRROR_AT_MOST, Deploy
from anew.core.rollouts.traffic import is_all_or_nothing, nonzero
from anew.engine.base.ports import DeploymentState, Endpoints, EndpointView, ModelVersion
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable, TrafficMoved


class MemoryRegistry:
    """Implements ModelRegistry."""

    def __init__(self, azure: MemoryAzure) -> None:
        self._azure = azure

    def versions(self, model: str) -> list[ModelVersion]:
        with self._azure.call("registry.versions"):
            known = [
                item
                for key, item in self._azure.models.items()
                if item.model == model and key not in self._azure.archived
            ]
            return sorted(known, key=lambda item: version_order(item.version), reverse=True)

    def get(self, model: str, version: str) -> ModelVersion | None:
        with self._azure.call("registry.get"):
            return self._azure.models.get((model, version))

    def register(self, version: ModelVersion, type: str, description: str) -> None:
        with self._azure.call("registry.register"):
            key = (version.model, version.version)
            known = self._azure.models.get(key)
            if known is not None and known.path != version.path:
                raise AzureRefused(f"{version.model}:{version.version} exists with another path")
            self._azure.models[key] = version
            if known is None:
                self._azure.effects["version", f"{version.model}:{version.version}"] += 1

    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        with self._azure.call("registry.set_tags"):
            known = self._azure.models.get((model, version))
            if known is None:
                raise AzureNotFound(f"there is no {model}:{version}")
            wanted = {**known.tags, **tags}
            if wanted != known.tags:
                self._azure.models[model, version] = replace(known, tags=wanted)
                self._azure.effects["tags", f"{model}:{version}"] += 1


class MemoryEndpoints:
    """Implements Endpoints, online. A deployment answers a request with its own `model:version`."""

    def __init__(self, azure: MemoryAzure, until: datetime | None = None) -> None:
        self._azure = azure
        self._until = until
        self._known = azure.endpoints

    def until(self, moment: datetime) -> Self:
        return type(self)(self._azure, moment)

    def view(self, endpoint: str) -> EndpointView | None:
        with self._azure.call("endpoints.view"):
            self._azure.refuse_if_unreadable(endpoint)
            found = self._known.get(endpoint)
            if found is None:
                return None
            models = {name: item.model for name, item in found.deployments.items()}
            traffic = {name: found.traffic.get(name, 0) for name in models}
            return EndpointView(endpoint, traffic, models, dict(found.mirror))

    def ensure(self, endpoint: str) -> None:
        is_new = endpoint not in self._known
        with self._azure.call("endpoints.ensure", self._until if is_new else None):
            if is_new:
                self._known[endpoint] = MemoryEndpoint()
                self._azure.effects["endpoint", endpoint] += 1

    def create_deployment(self, endpoint: str, deployment: str, model: ModelVersion, rule: Deploy) -> None:
        with self._azure.call("endpoints.create_deployment", self._until):
            wanted, found = f"{model.model}:{model.version}", self._changeable(endpoint)
            known = found.deployments.get(deployment)
            if known is None or known.model != wanted:
                found.deployments[deployment] = MemoryDeployment(wanted)
                self._azure.effects["deployment", f"{endpoint}/{deployment}"] += 1

    def deployment_state(self, endpoint: str, deployment: str) -> DeploymentState:
        with self._azure.call("endpoints.deployment_state"):
            found = self._known.get(endpoint)
            known = found.deployments.get(deployment) if found else None
            return known.state if known else DeploymentState.ABSENT

    def set_traffic(
        self,
        endpoint: str,
        traffic: Mapping[str, int],
        *,
        mirror: Mapping[str, int] = {},
        expected: Mapping[str, int] | None = None,
    ) -> None:
        # As in Azure, the reading and the writing are two requests.
        self._refuse_if_moved(endpoint, expected)
        with self._azure.call("endpoints.set_traffic", self._until):
            found = self._changeable(endpoint)
            if unknown := sorted(
                name for name in (*nonzero(traffic), *nonzero(mirror)) if name not in found.deployments
            ):
                raise AzureRefused(f"{endpoint} has no deployment {', '.join(unknown)}")
            self._refuse_impossible(endpoint, traffic, nonzero(mirror))
            found.traffic, found.mirror = dict(traffic), nonzero(mirror)
            self._azure.effects["traffic", endpoint] += 1

    def delete_deployment(self, endpoint: str, deployment: str) -> None:
        with self._azure.call("endpoints.delete_deployment", self._until):
            found = self._known.get(endpoint)
            if found is None or deployment not in found.deployments:
                return
            if found.traffic.get(deployment):
                raise AzureRefused(f"{endpoint}/{deployment} takes traffic")
            del self._changeable(endpoint).deployments[deployment]
            found.traffic.pop(deployment, None)
            found.mirror.pop(deployment, None)
            self._azure.effects["deletion", f"{endpoint}/{deployment}"] += 1

    def score(self, endpoint: str, request: Mapping[str, Any], deployment: str | None = None) -> tuple[str | None, Any]:
        with self._azure.call("endpoints.score"):
            found = self._found(endpoint)
            name = deployment or max(found.traffic, key=lambda each: found.traffic[each], default="")
            known = found.deployments.get(name)
            if known is None or known.state is not DeploymentState.READY:
                raise AzureNotFound(f"{endpoint} has no deployment {name!r} that is ready")
            if known.model in self._azure.silent:
                raise AzureRefused(f"{endpoint}/{name} refused the request")
            return name, known.model

    def _refuse_if_moved(self, endpoint: str, expected: Mapping[str, int] | None) -> None:
        known = self._known.get(endpoint, MemoryEndpoint())
        if expected is not None and nonzero(known.traffic) != nonzero(expected):
            raise TrafficMoved(f"{endpoint} has the traffic {known.traffic}, not {dict(expected)}")

    def _refuse_impossible(self, endpoint: str, traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        if sum(traffic.values()) not in {0, 100}:
            raise AzureRefused(f"the traffic of {endpoint} must sum to 0 or 100 percent")
        if len(mirror) > 1 or any(share > MIRROR_AT_MOST or traffic.get(name) for name, share in mirror.items()):
            raise AzureRefused(
                f"{endpoint} mirrors at most {MIRROR_AT_MOST} percent, to one deployment that is not live"
            )

    def _found(self, endpoint: str) -> MemoryEndpoint:
        found = self._known.get(endpoint)
        if found is None:
            raise AzureNotFound(f"there is no endpoint {endpoint}")
        return found

    def _changeable(self, endpoint: str) -> MemoryEndpoint:
        found = self._found(endpoint)
        if endpoint in self._azure.changing:
            raise AzureUnavailable(f"Azure is still changing the endpoint {endpoint}")
        return found


class MemoryBatchEndpoints(MemoryEndpoints):
    """Implements Endpoints, batch: the default deployment is the one with all the traffic. No jobs run on them."""

    def __init__(self, azure: MemoryAzure, until: datetime | None = None) -> None:
        super().__init__(azure, until)
        self._known = azure.batch_endpoints

    def score(self, endpoint: str, request: Mapping[str, Any], deployment: str | None = None) -> tuple[str | None, Any]:
        with self._azure.call("endpoints.score"):
            raise AzureRefused(f"the batch endpoint {endpoint} answers by jobs, not requests")

    def _refuse_impossible(self, endpoint: str, traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        if not is_all_or_nothing(traffic, mirror):
            raise AzureRefused(f"the batch endpoint {endpoint} gives all jobs to one deployment, or to none")


def memory_endpoints(azure: MemoryAzure) -> dict[str, Endpoints]:
    """Both kinds of endpoints, by the `kind` of a policy's deploy rule."""
    return {"online": MemoryEndpoints(azure), "batch": MemoryBatchEndpoints(azure)}
