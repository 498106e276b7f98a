"""The data factory the rivals use, by the real SDK."""

from azure.mgmt.datafactory import DataFactoryManagementClient

from anew.emulator.arm.credentials import connection

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
RESOURCE_GROUP = FACTORY = "peers"
PIPELINE = "wait"
URL_VARIABLE = "PEERS_AZURE_URL"


def data_factory(url: str) -> DataFactoryManagementClient:
    """The SDK's client, pointed at the local Azure at url."""
    local = connection(url)
    return DataFactoryManagementClient(
        local.credential, SUBSCRIPTION, base_url=url, per_call_policies=list(local.policies())
    )
