"""The state `launching`: start the one external run of a retraining, whatever happens in between.

Every request that makes something in Azure is recorded before it is sent, so that other workers know that its result
may still appear. A worker may stand still between the record and the request, or have a thousand launches to make
first. So the record has the time of the intent, not that of the pass, and the request is not sent once half of the
visibility delay is over.
"""

from datetime import datetime

from anew.core.policies.policy import LAUNCHER_ADAPTER
from anew.core.retrainings.lifecycle import Retraining, RetrainingMove, RetrainingState
from anew.engine.base.context import Engine
from anew.engine.base.ports import TrainingOrder
from anew.engine.base.transition import fail, move_retraining, note_retraining
from anew.errors import AzureRefused, InvalidPolicy, TemporaryError


def launch(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Look for the run, record the intent, start the run, record it.

    A failure in between leaves the retraining in `launching`; the next pass looks for the run before it starts one.
    """
    if retraining.state is not RetrainingState.LAUNCHING:
        return retraining  # another worker has launched it
    launcher = engine.launchers[retraining.launcher]
    order = order_of(retraining)
    try:
        run_id = launcher.find(order) if retraining.intended_at else None
        if run_id is None:
            if may_appear_late(engine, retraining, now):
                return retraining
            retraining, send_before = record_intent(engine, retraining, "launch-intended", now)
            run_id = launcher.launch(order, send_before)
    except TemporaryError:
        return engine.ledger.retraining(retraining.id) or retraining
    except (AzureRefused, InvalidPolicy) as error:
        return fail(engine, retraining, f"launch refused: {error}", now)
    return move_retraining(engine, retraining, RetrainingMove.LAUNCHED, now, external_run_id=run_id, intended_at=None)


def order_of(retraining: Retraining) -> TrainingOrder:
    """The order for the launcher, with the launcher's settings as they were when this was decided: after a change of
    the policy, the run is still looked for in the place where it was started.
    """
    launcher = LAUNCHER_ADAPTER.validate_python(retraining.launcher_spec)
    return TrainingOrder(retraining.id, retraining.job_name, retraining.model, launcher, retraining.created_at)


def record_intent(engine: Engine, retraining: Retraining, what: str, now: datetime) -> tuple[Retraining, datetime]:
    """Record that a request is about to be sent; also returns the moment before which to send it. Raises StaleWrite."""
    moment = max(now, engine.clock())
    noted = note_retraining(engine, retraining, what, moment, intended_at=moment)
    return noted, moment + engine.timing.visibility_delay / 2


def may_appear_late(engine: Engine, retraining: Retraining, now: datetime) -> bool:
    """Whether a requested run that Azure does not show may still appear there."""
    intended = retraining.intended_at
    return intended is not None and now < intended + engine.timing.visibility_delay
