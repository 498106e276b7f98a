"""Whatever happens, in whatever order: what must never be is never, and when the trouble is over nothing stays open."""

from typing import cast

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from anew.adapters.ledger.database import create_engine
from anew.adapters.memory import Crash, Fault
from anew.core.retraining_lifecycle import OPEN_RETRAINING
from anew.core.rollout_lifecycle import OPEN_ROLLOUT
from anew.core.tags import version_order
from anew.engine.deploy import deploy
from anew.engine.ledger import Ledger
from anew.engine.ports import ModelVersion
from anew.engine.promote import promote
from anew.engine.reconcile import reconcile
from anew.engine.retrain import request_retraining, retrain
from anew.engine.serving import served_version
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
_STEPS = {"retrain": retrain, "promote": promote, "deploy": deploy, "reconcile": reconcile}
_RULE = deploy_rule(steps=[stage(10, wait="5m"), stage(100)], bake="5m")


class AnyOrder(RuleBasedStateMachine):
    """Events come, come again and do not come; workers run, and die; Azure answers or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play(ledger=fresh_ledger(_DATABASE))
        self.served = (0, 0, "")
        serve(self.play.azure, "1")
        document = policy(limits={"cooldown": "20m"}, deploy=[_RULE])
        ledger = cast(Ledger, FallibleLedger(self.play.ledger, self.play.azure))
        self.play.engine = make_engine(self.play.azure, ledger, document)

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
            assert kind == "traffic" or count == 1, f"{count} times {kind} {name}"

    @invariant()
    def traffic_is_complete_and_its_largest_share_never_goes_back_to_an_older_version(self) -> None:
        endpoint = self.play.azure.endpoints[ENDPOINT]
        assert sum(endpoint.traffic.values()) == 100
        served = served_version(self.play.engine.endpoints["online"].view(ENDPOINT), MODEL)
        assert served is not None
        assert version_order(served) >= self.served
        self.served = version_order(served)

    @invariant()
    def deployments_that_take_traffic_are_ready(self) -> None:
        endpoint = self.play.azure.endpoints[ENDPOINT]
        assert all(endpoint.deployments[name].state == "ready" for name, share in endpoint.traffic.items() if share)

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
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
