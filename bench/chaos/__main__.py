"""`python -m bench.chaos --seed 7 [--seeds 20] [--database postgresql] [--events 1000]`, or `make chaos SEED=7`.

The last line of a run counts duplicates, lost, orphaned and wrongly cancelled, and any of them fails it: then the story
of that retraining is printed, and the folder with the logs is kept. So does a run that never comes to rest.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from anew.adapters.ledger import SqlLedger
from anew.cli.explain import show_trace
from anew.core.events.event import Cause
from anew.core.retrainings.lifecycle import OPEN_RETRAINING
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT
from anew.emulator.client import LocalAzure
from anew.engine.base.ledger import Ledger
from anew.engine.history.trace import trace
from anew.errors import AnewError, NothingKnown
from bench.chaos.broker import Broker, Told
from bench.chaos.plan import Freeze, Kill, Plan, make_plan
from bench.chaos.verdict import Verdict, judge
from bench.chaos.world import World

_CALM = 240.0  # seconds in which everything must come to rest
_QUIET = 8  # looks in a row, a second apart
_STORIES = 3


def main() -> int:
    """Run the seeds asked for; exits 1 if anything was counted in any."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    if options.seeds > 1:
        return _run_each(options)
    base = Path(tempfile.mkdtemp(prefix="anew-chaos-"))
    with _database(options.database, base) as url:
        world = World(base, url, options.prepared)
        good = _run(make_plan(options.seed, options.events), world, options.database)
        if options.prepared is None and options.prepare is not None:
            world.prepare_prefect(options.prepare)
    if good:
        shutil.rmtree(base)
    return 0 if good else 1


def _run_each(options: argparse.Namespace) -> int:
    """Each seed in a process of its own, because Prefect reads its settings once."""
    failed: list[int] = []
    with tempfile.TemporaryDirectory(prefix="anew-chaos-prefect-") as folder:
        prepared = Path(folder) / "prefect"
        for seed in range(options.seed, options.seed + options.seeds):
            command = [sys.executable, "-m", "bench.chaos", "--seed", str(seed), "--database", options.database]
            command += ["--events", str(options.events)]
            command += ["--prepared" if prepared.is_dir() else "--prepare", str(prepared)]
            if subprocess.run(command, check=False).returncode:
                failed.append(seed)
    print(f"{options.seeds} seeds on {options.database}: {len(failed)} failed {failed or ''}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--prepare", type=Path, help="folder to keep Prefect's database in, with the flows deployed")
    parser.add_argument("--prepared", type=Path, help="folder that an earlier run prepared")
    return parser.parse_args()


@contextmanager
def _database(kind: str, base: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{base}/ledger.db"
        return
    from tests.postgres import running_postgres

    with running_postgres() as server, server.empty_ledger() as url:
        yield url


def _run(plan: Plan, world: World, database: str) -> bool:
    began = time.monotonic()
    try:
        world.start(plan)
        print(f"seed {plan.seed} on {database}: up after {time.monotonic() - began:.0f} s", flush=True)
        broker, struck = Broker(plan, world), _Striker(plan, world)
        world.fail(plan.seed)
        struck.start()
        broker.run(_show_progress)
        struck.join()
        world.heal()
        ledger = SqlLedger.open(world.ledger_url, migrate=False)
        rested = _come_to_rest(world, ledger)
        with LocalAzure(world.azure_url) as azure:
            verdict = judge(ledger, azure.journal(), broker.told)
        _report(verdict, ledger, broker.told, struck.done, world, rested)
        print(f"seed {plan.seed} on {database}, {time.monotonic() - began:.0f} s: {verdict.line}", flush=True)
        ledger.close()
        return verdict.ok and rested is not None
    finally:
        world.stop()


class _Striker(threading.Thread):
    """Kills and freezes as planned, and starts again whoever ended."""

    def __init__(self, plan: Plan, world: World) -> None:
        super().__init__(daemon=True)
        self._strikes = sorted((*plan.kills, *plan.freezes), key=lambda strike: strike.at)
        self._world = world
        self.done: list[str] = []

    def run(self) -> None:
        began = time.monotonic()
        for strike in self._strikes:
            time.sleep(max(0.0, began + strike.at - time.monotonic()))
            self.done.append(f"{strike.at:.1f} s {self._hit(strike)}")
            self.done += [f"{strike.at:.1f} s {name} had ended by itself" for name in self._world.revive()]

    def _hit(self, strike: Kill | Freeze) -> str:
        match strike:
            case Kill():
                self._world.kill(strike.victim)
                return f"{strike.victim} killed"
            case Freeze():
                self._world.freeze(strike.victim, stops=strike.stops)
                return f"{strike.victim} {'stands still' if strike.stops else 'goes on'}"


def _come_to_rest(world: World, ledger: Ledger) -> float | None:
    """Seconds until nothing was open any more, and stayed so: Event Grid may still be about to deliver something. None
    when it never was.
    """
    began = time.monotonic()
    quiet = 0
    while time.monotonic() - began < _CALM:
        time.sleep(1)
        world.revive()
        try:
            open_ = len(ledger.unsettled(list(Cause))) + ledger.count_open_retrainings()
            quiet = 0 if open_ or ledger.rollouts(OPEN_ROLLOUT) else quiet + 1
        except AnewError:
            quiet = 0
        if quiet >= _QUIET:
            return time.monotonic() - began
    return None


def _show_progress(told: Told, number: int) -> None:
    print(f"  {number} happened, {told.attempts} deliveries tried, {len(told.acked)} events taken", flush=True)


def _report(
    verdict: Verdict, ledger: Ledger, told: Told, struck: Sequence[str], world: World, rested: float | None
) -> None:
    rest = "never came to rest" if rested is None else f"at rest {rested:.0f} s later"
    made = f"{verdict.trainings} runs made, {verdict.cancelled} cancelled"
    print(f"  {len(struck)} strikes, {made}, {told.refused} refused, {rest}")
    cases = [*verdict.duplicates, *verdict.lost, *verdict.orphaned, *verdict.wrongly_cancelled, *verdict.believed]
    for case in cases[:20]:
        print(f"  ! {case}")
    console = Console(highlight=False)
    for about in list(dict.fromkeys(case.partition(":")[0] for case in cases))[:_STORIES]:
        try:
            show_trace(console, trace(ledger, about))
        except NothingKnown as error:
            print(f"  {error}")
    if rested is None:
        for rollout in ledger.rollouts(OPEN_ROLLOUT):
            print(f"  ! {rollout.id}: still {rollout.state} since {rollout.state_since}")
    if cases or rested is None:
        print(f"  struck: {'; '.join(struck)}")
        print(f"  open: {[(item.id, str(item.state)) for item in ledger.retrainings(OPEN_RETRAINING)]}")
        print(f"  logs: {world.folder / 'logs'}")


if __name__ == "__main__":
    sys.exit(main())
