"""Making the one external run of a retraining, whatever happens in between."""

from datetime import datetime

from anew.core.policies.policy import LAUNCHER_ADAPTER
from anew.core.retrainings.lifecycle import Retraining, RetrainingMove, RetrainingState
from anew.engine.base.context import Engine
from anew.engine.base.ports import TrainingOrder
from anew.engine.base.transition import move_retraining
from anew.engine.training.intents import may_appear_late, record_intent
from anew.errors import AzureRefused, InvalidPolicy, StaleWrite, TemporaryError


def order_of(retraining: Retraining) -> TrainingOrder:
    """What the launcher needs to make, find or cancel this retraining's run, as its decision fixed it: a policy that
    was changed since must not make us look for the run in another place.
    """
    launcher = LAUNCHER_ADAPTER.validate_python(retraining.launcher_spec)
    return TrainingOrder(retraining.id, retraining.job_name, retraining.model, launcher, retraining.created_at)


def launch(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Make the one external run: look for it first, note the intent, start it, record it.

    Whatever goes wrong in between leaves the retraining launching, and the next pass looks before it acts.
    """
    if retraining.state is not RetrainingState.LAUNCHING:
        return retraining  # somebody else launched it meanwhile
    launcher = engine.launchers[retraining.launcher]
    order = order_of(retraining)
    try:
        run_id = launcher.find(order) if retraining.intended_at else None
        if run_id is None:
            if may_appear_late(engine, retraining, now):
                return retraining
            retraining, send_before = record_intent(engine, retraining, "launch-intended", now)
            run_id = launcher.launch(order, send_before)
    except (TemporaryError, StaleWrite):
        return engine.ledger.retraining(retraining.id) or retraining
    except (AzureRefused, InvalidPolicy) as error:
        return move_retraining(engine, retraining, RetrainingMove.FAILED, now, reason=f"launch refused: {error}")
    return move_retraining(engine, retraining, RetrainingMove.LAUNCHED, now, external_run_id=run_id, intended_at=None)
