"""`anew event`."""

import sys
from pathlib import Path

from anew.cli.output import print_json
from anew.core.events import Event, Ignored, Parsed, Rejected
from anew.errors import MalformedBody
from anew.settings import load_settings


def parse(file: str, *, json: bool = True) -> int:
    """Print each event of a file, normalised, as one JSON line. Exits 2 when any is rejected.

    Parameters
    ----------
    file
        A file holding one event or an array of them, Event Grid schema or CloudEvents; - for standard input.
    json
        Lines are always JSON; accepted so that every command takes it.
    """
    from anew.core.event_json import event_line

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
    """The events of a file, or of standard input for `-`. Raises MalformedBody for one that is no event."""
    events: list[Event] = []
    for number, parsed in enumerate(_parsed(file), start=1):
        if isinstance(parsed, Rejected):
            raise MalformedBody(f"{file}: event {number}: {parsed.reason}", advice="Run: anew event parse FILE")
        events.append(parsed.event if isinstance(parsed, Ignored) else parsed)
    return events


def _parsed(file: str) -> list[Parsed]:
    from anew.core.event_parsing import parse_body

    try:
        return parse_body(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except OSError as error:
        raise MalformedBody(f"{file}: {error.strerror or error}") from error


def subscribe(url: str, *, name: str = "anew", cloud_events: bool = False, json: bool = False) -> None:
    """Create or update the Event Grid subscription that sends the workspace's events to a webhook.

    Parameters
    ----------
    url
        The webhook's address, `https://host/events?code=SECRET`. It must answer the handshake while this runs.
    name
        The subscription's name.
    cloud_events
        Deliver CloudEvents 1.0 instead of the Event Grid schema.
    json
        Print one JSON object.
    """
    from anew.adapters.event_grid import subscribe_webhook
    from anew.wiring import azure_access, event_grid_client

    settings = load_settings()
    client = event_grid_client(settings, azure_access(settings))
    state = subscribe_webhook(client, settings.workspace, url, name, cloud_events=cloud_events)
    if json:
        print_json({"subscription": name, "state": state, "workspace": settings.workspace.arm_id})
    else:
        print(f"Subscription {name} of workspace {settings.workspace.name}: {state}.")
