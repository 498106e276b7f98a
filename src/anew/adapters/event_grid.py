"""Creating the Event Grid subscription that feeds the webhook."""

from azure.mgmt.eventgrid import EventGridManagementClient
from azure.mgmt.eventgrid.models import (
    EventSubscription,
    EventSubscriptionFilter,
    WebHookEventSubscriptionDestination,
)

from anew.adapters.azure_errors import translated
from anew.core.events import EventType, Workspace


def subscribe_webhook(
    client: EventGridManagementClient, workspace: Workspace, url: str, name: str, *, cloud_events: bool = False
) -> str:
    """Create or update the subscription and return its provisioning state.

    Event Grid shakes hands with the URL before this returns. Raises AzureRefused when that fails.
    """
    subscription = EventSubscription(
        destination=WebHookEventSubscriptionDestination(endpoint_url=url),
        filter=EventSubscriptionFilter(included_event_types=[str(kind) for kind in EventType]),
        event_delivery_schema="CloudEventSchemaV1_0" if cloud_events else "EventGridSchema",
    )
    with translated(f"create event subscription {name}"):
        poller = client.event_subscriptions.begin_create_or_update(workspace.arm_id, name, subscription)
        return str(poller.result().provisioning_state)
