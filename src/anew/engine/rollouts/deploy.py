"""The pass of the `deploy` flow: open the rollouts that registrations call for, and advance all open rollouts."""

from datetime import datetime

from anew.core.events.event import Event
from anew.core.rollouts.matching import matching_rules
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry
from anew.engine.inbox.draining import drain
from anew.engine.rollouts.advance import RolloutPass, advance_rollouts
from anew.engine.rollouts.opening import new_rollout
from anew.errors import UnknownModel


def deploy(engine: Engine, now: datetime) -> RolloutPass:
    """Open a rollout of every registered version whose tags match a deploy rule, and advance all open rollouts."""
    touched: set[str] = set()

    def handle(entry: InboxEntry) -> None:
        opened, outcome = _open_rollouts(engine, entry.event, now)
        engine.ledger.settle([entry.key], outcome, now, opened[0] if opened else None)
        touched.update(opened)

    deferred = drain(engine, "deploy", handle, now)
    advanced = advance_rollouts(engine, now)
    others = touched - {each.id for each in advanced.rollouts}
    opened = (found for each in others if (found := engine.ledger.rollout(each)))
    return RolloutPass((*advanced.rollouts, *opened), (*deferred, *advanced.deferred))


def _open_rollouts(engine: Engine, event: Event, now: datetime) -> tuple[list[str], str]:
    """Open the rollouts that a registration calls for; returns their ids and a sentence that says what was done.

    Tags are read from the registry, not from the event: an event can be forged or out of date.
    """
    model, version = event.model or "", event.version or ""
    try:
        policy = engine.policies.for_model(model)
    except UnknownModel:
        return [], f"not deployed: no policy for {model}"
    registered = engine.registry.get(model, version)
    if registered is None:
        return [], f"not deployed: {model}:{version} is not in the registry"
    rollouts = [new_rollout(registered, rule, now) for rule in matching_rules(policy, registered.tags)]
    if not rollouts:
        return [], f"not deployed: the tags of {model}:{version} match no deploy rule"
    done = [
        f"opened rollout {each.id} to {each.endpoint}"
        if engine.ledger.add_rollout(each, engine.actor)
        else f"rollout {each.id} was opened before"
        for each in rollouts
    ]
    return [each.id for each in rollouts], "; ".join(done)
