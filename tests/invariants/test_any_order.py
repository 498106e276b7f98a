"""Whatever happens, in whatever order: what must never be is never, and when the trouble is over nothing stays open."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from anew.adapters.ledger.database import create_engine
from anew.adapters.memory.azure import Crash, Fault
from anew.core.base.versions import version_order
from anew.core.retrainings.lifecycle import OPEN_RETRAINING
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.core.rollouts.traffic import RequestStats
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import ModelVersion
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.decisions.request import request_retraining
from anew.engine.reconcile import reconcile
from anew.engine.retrainings.finished_runs import handle_finished_runs
from anew.engine.rollouts.deploy import deploy
from anew.engine.serving.versions import served_version
from anew.errors import TemporaryError
from tests.builders import (
    ENDPOINT,
    EVALUATE_JOB,
    MODEL,
    PRODUCTION,
    Play,
    deploy_rule,
    drift_event,
    evaluation,
    fresh_ledger,
    make_engine,
    policy,
    registered_event,
    run_event,
    serve,
    stage,
)
from tests.faults.fallible import FallibleLedger

_DATABASE: sa.Engine = create_engine("sqlite://")
_CALLS = ("launcher.launch", "jobs.get", "jobs.submit", "registry.register", "endpoints.set_traffic", "missed.drift")
_STEPS = {"retrain": decide_pending, "promote": handle_finished_runs, "deploy": deploy, "reconcile": reconcile}
_RULE = deploy_rule(
    steps=[stage(mirror=20), stage(10, wait="5m"), stage(100)],
    bake="15m",
    analysis={"failure_limit": 0},
)
_GOOD = RequestStats(requests=2000, errors=4, latencies={50.0: 1996})
_BAD = replace(_GOOD, errors=600)
_GONE_BACK = frozenset({RolloutState.ABORTING, RolloutState.ROLLED_BACK})


@dataclass(slots=True)
class Traffic:
    """A TrafficLog: every deployment answers well, but for those that are broken."""

    broken: set[str] = field(default_factory=set[str])

    def read(
        self, endpoint: str, deployments: Collection[str], since: datetime, until: datetime, *, scores: bool
    ) -> Mapping[str, RequestStats]:
        return {name: _BAD if name in self.broken else _GOOD for name in deployments}


class AnyOrder(RuleBasedStateMachine):
    """Events come, come again and do not come; workers run, and die; Azure answers or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play(ledger=fresh_ledger(_DATABASE))
        self.served = "1"
        self.left: set[str] = set()
        self.doomed: set[str] = set()  # failed before it had all traffic
        self.traffic = Traffic()
        serve(self.play.azure, "1")
        document = policy(limits={"cooldown": "20m"}, deploy=[_RULE])
        ledger = cast(Ledger, FallibleLedger(self.play.ledger, self.play.azure))
        self.play.engine = replace(make_engine(self.play.azure, ledger, document), traffic_log=self.traffic)

    @rule(number=st.integers(0, 5), told=st.booleans(), known=st.booleans())
    def drift(self, *, number: int, told: bool, known: bool) -> None:
        event = drift_event(f"run-{number}", at=self.play.now)
        if known:
            self.play.azure.happened.append(event)
        if told:
            self.play.receive(event)

    @rule()
    def tell_of_runs(self) -> None:
        self.play.receive(*(run_event(name, at=self.play.now) for name in self.play.azure.jobs))

    @rule()
    def tell_of_versions(self) -> None:
        self.play.receive(*(registered_event(each.version) for each in self.play.azure.models.values()))

    @rule(number=st.integers(0, 2))
    def ask(self, *, number: int) -> None:
        request_retraining(self.play.engine, MODEL, f"request-{number}", "sam", "why", force=True, now=self.play.now)

    @rule()
    def register_by_hand(self) -> None:
        version = str(len(self.play.azure.models) + 1)
        if (MODEL, version) not in self.play.azure.models:
            self.play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION, "by hand")

    @rule(better=st.sampled_from([60, 5]))
    def change_what_evaluations_say(self, *, better: int) -> None:
        self.play.azure.endings[EVALUATE_JOB] = evaluation(better=better, worse=20 if better == 60 else 90)

    @rule(version=st.integers(2, 4))
    def make_a_version_that_fails(self, *, version: int) -> None:
        self._break(deployment_name(MODEL, str(version)))

    @rule(reached=st.sampled_from([1, 2]))
    def release_a_version_that_begins_to_fail(self, *, reached: int) -> None:
        self.register_by_hand()
        for _ in range(4):
            self.play.tick(minutes=6)
            watched = self.play.ledger.rollouts([RolloutState.SHIFTING, RolloutState.BAKING])
            for each in watched:
                if each.step == reached:
                    self._break(each.deployment)

    def _break(self, deployment: str) -> None:
        self.traffic.broken.add(deployment)
        if self.play.azure.endpoints[ENDPOINT].traffic.get(deployment) != 100:
            self.doomed.add(deployment)

    @rule(call=st.sampled_from(_CALLS))
    def stop_answering(self, *, call: str) -> None:
        self.play.azure.down.add(call)

    @rule()
    def answer_again(self) -> None:
        self.play.azure.down.clear()

    @rule(minutes=st.integers(1, 30))
    def wait(self, *, minutes: int) -> None:
        self.play.wait(minutes=minutes)

    @rule(step=st.sampled_from(sorted(_STEPS)))
    def work(self, *, step: str) -> None:
        _STEPS[step](self.play.engine, self.play.now)

    @rule(step=st.sampled_from(sorted(_STEPS)), after=st.integers(0, 30), fault=st.sampled_from(Fault))
    def work_with_a_fault(self, *, step: str, after: int, fault: Fault) -> None:
        azure = self.play.azure
        azure.plan(len(azure.calls) + after, fault)
        try:
            _STEPS[step](self.play.engine, self.play.now)
        except Crash:
            azure.restart()
        except TemporaryError:
            assert azure.calls[-1].startswith("ledger."), "what Azure does not answer must not end a pass"
        azure.forget_plan()

    @invariant()
    def one_retraining_of_the_model_is_open_at_most(self) -> None:
        assert len(self.play.ledger.retrainings(OPEN_RETRAINING)) <= 1

    @invariant()
    def no_retraining_has_two_runs_evaluations_or_versions(self) -> None:
        for (kind, name), count in self.play.azure.effects.items():
            assert kind in ("traffic", "tags") or count == 1, f"{count} times {kind} {name}"

    @invariant()
    def all_traffic_is_with_somebody(self) -> None:
        endpoint = self.play.azure.endpoints[ENDPOINT]
        assert sum(endpoint.traffic.values()) == 100
        assert sum(endpoint.mirror.values()) in (0, 20)
        assert not any(endpoint.traffic.get(name) for name, share in endpoint.mirror.items() if share)

    @invariant()
    def an_older_version_serves_again_only_when_a_rollout_goes_back(self) -> None:
        served = served_version(self.play.engine.endpoints["online"].view(ENDPOINT), MODEL)
        assert served is not None
        if version_order(served) < version_order(self.served):
            [rollout] = [each for each in self.play.ledger.rollouts() if each.version == self.served]
            assert rollout.state in _GONE_BACK
            self.left.add(self.served)
        self.served = served

    @invariant()
    def a_version_that_went_back_never_serves_again(self) -> None:
        ended = self.play.ledger.rollouts([RolloutState.ROLLED_BACK, RolloutState.FAILED])
        traffic = self.play.azure.endpoints[ENDPOINT].traffic
        assert self.served not in self.left
        assert not any(traffic.get(each.deployment) for each in ended if each.step >= 0)

    @invariant()
    def what_fails_its_stage_never_takes_all_traffic(self) -> None:
        traffic = self.play.azure.endpoints[ENDPOINT].traffic
        assert not any(traffic.get(name) == 100 for name in self.doomed)

    @invariant()
    def deployments_that_take_traffic_are_there_and_ready(self) -> None:
        endpoint = self.play.azure.endpoints[ENDPOINT]
        takers = [name for each in (endpoint.traffic, endpoint.mirror) for name, share in each.items() if share]
        assert all(endpoint.deployments[name].state == "ready" for name in takers)

    def teardown(self) -> None:
        self.play.azure.down.clear()
        for _ in range(20):
            self.play.tick(minutes=6)
        assert self.play.ledger.retrainings(OPEN_RETRAINING) == []
        assert self.play.ledger.rollouts(OPEN_ROLLOUT) == []
        assert [entry for entry in self.play.ledger.entries(1000) if entry.settled_at is None] == []


TestAnyOrder = AnyOrder.TestCase
# The same histories each time, and no search for a smaller one that fails: that takes minutes.
TestAnyOrder.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
