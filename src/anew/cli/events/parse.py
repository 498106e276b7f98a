"""`anew events parse` and `anew events subscribe`."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from cyclopts import Parameter

from anew.cli.output import print_json
from anew.core.events.event import Event, Ignored, Parsed, Rejected
from anew.errors import InvalidSettings, MalformedBody
from anew.settings import Webhook, load_settings

FileOrStdin = Annotated[str, Parameter(allow_leading_hyphen=True)]  # - is standard input


def parse(file: FileOrStdin, *, json: bool = True) -> int:
    """Print each event of a file, normalised, as one JSON line. Exits 2 when any is rejected.

    Parameters
    ----------
    file
        A file with one event or an array of events, in Event Grid schema or CloudEvents; - for standard input.
    json
        Lines are always JSON; the option exists because every command has it.
    """
    from anew.core.events.serialization import event_line

    rejected = 0
    for number, parsed in enumerate(_parsed(file), start=1):
        if isinstance(parsed, Event):
            print_json(event_line(parsed))
        elif isinstance(parsed, Ignored):
            print_json(event_line(parsed.event))
            sys.stderr.write(f"event {number}: ignored: {parsed.reason}\n")
        else:
            rejected += 1
            sys.stderr.write(f"event {number}: rejected: {parsed.reason}\n")
    return 2 if rejected else 0


def read_events(file: str) -> list[Event]:
    """The events of a file, or of standard input for `-`. Raises MalformedBody when one cannot be read."""
    events: list[Event] = []
    for number, parsed in enumerate(_parsed(file), start=1):
        if isinstance(parsed, Rejected):
            raise MalformedBody(f"{file}: event {number}: {parsed.reason}", advice="Run: anew events parse FILE")
        events.append(parsed.event if isinstance(parsed, Ignored) else parsed)
    return events


def _parsed(file: str) -> list[Parsed]:
    from anew.core.events.parsing import parse_body

    try:
        return parse_body(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except OSError as error:
        raise MalformedBody(f"{file}: {error.strerror or error}") from error


def subscribe(
    url: str,
    *,
    name: str = "anew",
    cloud_events: bool = False,
    azure_active_directory_tenant_id: str | None = None,
    azure_active_directory_application_id_or_uri: str | None = None,
    json: bool = False,
) -> None:
    """Create or update the Event Grid subscription that sends the workspace's events to a webhook.

    Parameters
    ----------
    url
        The address of the webhook, such as https://host/events. It must answer the handshake meanwhile. The first of
        webhook.secrets is added as `code`, unless the address has one, to keep the secret off the command line.
    name
        The name of the subscription.
    cloud_events
        Deliver CloudEvents 1.0 instead of the Event Grid schema.
    azure_active_directory_tenant_id
        Tenant of the webhook's app registration; default: webhook.entra.tenant_id of the settings.
    azure_active_directory_application_id_or_uri
        Its client id or application id URI; default: the first of webhook.entra.audiences.
    json
        Print one JSON object.
    """
    from anew.adapters.azure.event_grid.subscriptions import Audience, subscribe_webhook
    from anew.wiring import azure_access, event_grid_client

    settings = load_settings()
    client = event_grid_client(settings, azure_access(settings))
    tenant = azure_active_directory_tenant_id or settings.webhook.entra.tenant_id
    application = azure_active_directory_application_id_or_uri or next(iter(settings.webhook.entra.audiences), "")
    if bool(tenant) != bool(application):
        raise InvalidSettings("give both a tenant and an application, or neither")
    state = subscribe_webhook(
        client,
        settings.workspace,
        with_secret(url, settings.webhook),
        name,
        cloud_events=cloud_events,
        audience=Audience(tenant, application) if tenant else None,
    )
    if json:
        print_json({"subscription": name, "state": state, "workspace": settings.workspace.arm_id})
    else:
        print(f"Subscription {name} of workspace {settings.workspace.name}: {state}.")


def with_secret(url: str, webhook: Webhook) -> str:
    """The address of the webhook with the first secret of the settings as `code`, unless it has one already."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if not webhook.secrets or any(name == "code" for name, _ in query):
        return url
    secret = urlencode({"code": webhook.secrets[0].get_secret_value()}, quote_via=quote)
    return urlunsplit(parts._replace(query=f"{parts.query}&{secret}" if parts.query else secret))
