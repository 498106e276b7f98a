"""Policies replayed over a user's own history, before one of them decides about a model in production.

`read_stream` reads the history, `prepare` trains every model and surrogate once, `run_backtest` replays contenders
and scores them against an oracle with perfect foresight. It needs the extra `local` (scikit-learn).
"""

from anew.backtest.benchmark import Benchmark, prepare
from anew.backtest.contest import Report, run_backtest
from anew.backtest.history.stream import Stream, read_stream, shuffled
from anew.backtest.oracle import best_retrainings, lowest_cost
from anew.backtest.score import Score
from anew.backtest.strategies.baselines import Contender, default_contenders, fixed_period
from anew.backtest.strategies.replay import Decider, Moment, Replay, replay
from anew.backtest.work import Progress, Work

__all__ = [
    "Benchmark",
    "Contender",
    "Decider",
    "Moment",
    "Progress",
    "Replay",
    "Report",
    "Score",
    "Stream",
    "Work",
    "best_retrainings",
    "default_contenders",
    "fixed_period",
    "lowest_cost",
    "prepare",
    "read_stream",
    "replay",
    "run_backtest",
    "shuffled",
]
