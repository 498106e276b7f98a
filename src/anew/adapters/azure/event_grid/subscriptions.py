"""Creating the Event Grid subscription that feeds the webhook."""

from dataclasses import dataclass

from azure.mgmt.eventgrid import EventGridManagementClient
from azure.mgmt.eventgrid.models import (
    EventSubscription,
    EventSubscriptionFilter,
    WebHookEventSubscriptionDestination,
)

from anew.adapters.azure.errors import translated
from anew.core.events.event import EventType, Workspace


@dataclass(frozen=True, slots=True)
class Audience:
    """The audience of Event Grid's tokens: a tenant, and the webhook's client id or application id URI in it."""

    tenant_id: str
    application: str


def subscribe_webhook(
    client: EventGridManagementClient,
    workspace: Workspace,
    url: str,
    name: str,
    *,
    cloud_events: bool = False,
    audience: Audience | None = None,
) -> str:
    """Create or update the subscription and return its provisioning state.

    Event Grid validates the URL before this returns. With an *audience* it sends a token in each request. Raises
    AzureRefused when the validation fails.
    """
    subscription = EventSubscription(
        destination=WebHookEventSubscriptionDestination(
            endpoint_url=url,
            azure_active_directory_tenant_id=audience.tenant_id if audience else None,
            azure_active_directory_application_id_or_uri=audience.application if audience else None,
        ),
        filter=EventSubscriptionFilter(included_event_types=[str(kind) for kind in EventType]),
        event_delivery_schema="CloudEventSchemaV1_0" if cloud_events else "EventGridSchema",
    )
    with translated(f"create event subscription {name}"):
        poller = client.event_subscriptions.begin_create_or_update(workspace.arm_id, name, subscription)
        return str(poller.result().provisioning_state)
