"""`anew history`: which version served what share of the traffic, when, moved by whom and why."""

import math
from collections.abc import Iterator
from datetime import datetime

from rich.console import Console
from rich.text import Text

from anew.cli.output import moment_text, one_line, print_json, utc
from anew.core.rollouts.traffic import TrafficChange
from anew.core.rollouts.traffic_history import Cell, Period, bands, names_in, split_words
from anew.engine.history.chain import Walk
from anew.engine.history.traffic import EndpointHistory
from anew.errors import NothingKnown
from anew.settings import load_settings
from anew.wiring import open_ledger

_BLOCKS, _MIRRORED = " ▁▂▃▄▅▆▇█", "░"
_ASCII_BLOCKS, _ASCII_MIRRORED = " .:-=+*%#", "~"
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
_NARROWEST = 20  # columns of a picture
_EVENTS = 5  # of one decision


def history(model: str, *, at: datetime | None = None, limit: int = 20, json: bool = False) -> None:
    """Show which version of a model served what share of the traffic, who or what moved it, and why.

    Parameters
    ----------
    model
        The model.
    at
        Show only the shares at this moment. Without an offset it is UTC.
    limit
        The most changes to show of each endpoint; the newest are kept.
    json
        Print one JSON object.
    """
    walk = Walk(open_ledger(load_settings()), _EVENTS)
    endpoints = walk.endpoints(model)
    if not endpoints:
        raise NothingKnown(f"anew has seen no traffic of a model called {model}")
    console = Console(highlight=False)
    if at is not None:
        moment = utc(at)
        if json:
            found = [_moment_json(walk, each, moment) for each in endpoints]
            print_json({"model": model, "at": moment, "endpoints": found})
        else:
            for endpoint in endpoints:
                _show_moment(console, walk, endpoint, moment)
    elif json:
        print_json({"model": model, "endpoints": [_as_json(walk, each, limit) for each in endpoints]})
    else:
        for endpoint in endpoints:
            _show(console, walk, endpoint, limit)


# --- for machines -----------------------------------------------------------------------------------------


def _as_json(walk: Walk, endpoint: EndpointHistory, limit: int) -> dict[str, object]:
    return {
        "endpoint": endpoint.place,
        "known_since": endpoint.line[0].since,
        "periods": [_period_json(walk, each) for each in _newest(endpoint, limit)],
    }


def _moment_json(walk: Walk, endpoint: EndpointHistory, moment: datetime) -> dict[str, object]:
    period = endpoint.at(moment)
    known = {} if period is None else _period_json(walk, period)
    return {"endpoint": endpoint.place, "known_since": endpoint.line[0].since, "known": period is not None, **known}


def _period_json(walk: Walk, period: Period) -> dict[str, object]:
    change, chain = period.change, walk.chain(period.change)
    return {
        "since": period.since,
        "until": period.until,
        "shares": list(change.shares),
        "mirror": list(change.mirror),
        "actor": change.actor,
        "reason": change.reason,
        "rollout": change.rollout_id,
        "retraining": chain.retraining.id if chain.retraining else None,
        "decision": chain.decision.id if chain.decision else None,
        "events": [entry.event.id for entry in chain.events],
    }


# --- one moment -------------------------------------------------------------------------------------------


def _show_moment(console: Console, walk: Walk, endpoint: EndpointHistory, moment: datetime) -> None:
    console.print(Text(f"{endpoint.place} at {moment_text(moment)}", "bold"))
    period = endpoint.at(moment)
    if period is None:
        console.print(f"  anew knows nothing from before {moment_text(endpoint.line[0].since)}")
        return
    until = "and still does" if period.until is None else f"until {moment_text(period.until)}"
    console.print(Text(f"  {one_line(split_words(period.change))}"))
    console.print(f"  since {moment_text(period.since)}, {until}")
    for line in _reasons(walk, period.change):
        console.print(Text(f"  {line}"), soft_wrap=True)


def _reasons(walk: Walk, change: TrafficChange) -> Iterator[str]:
    yield one_line(f"{change.actor}: {change.reason}")
    chain = walk.chain(change)
    causes = [change.rollout_id, *(each.id for each in (chain.retraining, chain.decision) if each)]
    if chain.decision is not None and chain.events:
        others = len(chain.decision.covers) - 1
        causes.append(one_line(chain.events[0].event.id) + (f" and {others} more" if others else ""))
    if text := " < ".join(each for each in causes if each):
        yield text


# --- all changes ------------------------------------------------------------------------------------------


def _newest(endpoint: EndpointHistory, limit: int) -> tuple[Period, ...]:
    return endpoint.line[-max(limit, 1) :]


def _show(console: Console, walk: Walk, endpoint: EndpointHistory, limit: int) -> None:
    shown = _newest(endpoint, limit)
    console.print(Text(endpoint.place, "bold"))
    for line in picture(console, shown, max(utc(None), shown[-1].since)):
        console.print(line, soft_wrap=True)
    for period in shown:
        console.print(Text(f"{moment_text(period.since)}  {one_line(split_words(period.change))}"), soft_wrap=True)
        for line in _reasons(walk, period.change):
            console.print(Text(f"{' ' * 22}{line}", "dim"), soft_wrap=True)
    if len(shown) < len(endpoint.line):
        console.print(f"and {len(endpoint.line) - len(shown)} earlier changes: --limit {len(endpoint.line)}")


def picture(console: Console, line: tuple[Period, ...], until: datetime) -> Iterator[Text]:
    """A band for each version, as wide as the terminal: the height of a block is its share, shade is mirrored."""
    begin, end = moment_text(line[0].since), moment_text(until)
    widest = max((len(name) for name in names_in(line)), default=0)
    columns = max(console.width - widest - 2, _NARROWEST)
    for index, (name, cells) in enumerate(bands(line, until, columns).items()):
        drawn = "".join(_block(cell, ascii_only=console.options.ascii_only) for cell in cells)
        yield Text.assemble(f"{one_line(name):>{widest}}  ", (drawn, _COLOURS[index % len(_COLOURS)]))
    if columns >= len(begin) + len(end) + 1:
        yield Text(f"{'':>{widest}}  {begin}{end:>{columns - len(begin)}}", "dim")


def _block(cell: Cell, *, ascii_only: bool) -> str:
    blocks, mirrored = (_ASCII_BLOCKS, _ASCII_MIRRORED) if ascii_only else (_BLOCKS, _MIRRORED)
    if cell.live > 0:
        return blocks[min(math.ceil(round(cell.live, 6) / 100 * (len(blocks) - 1)), len(blocks) - 1)]
    return mirrored if cell.mirrored > 0 else " "
