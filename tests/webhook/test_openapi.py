"""The webhook does what its OpenAPI document says: no other status, no other header, no other body."""

from collections.abc import Generator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from anew.adapters.ledger import SqlLedger
from anew.core.retrainings.approval_links import Permit
from tests.approving import WAIT, awaiting
from tests.event_data import NOW
from tests.repo.paths import ROOT
from tests.webhook.serving import LINKS, SECRET, Webhook, webhook_of

APPROVALS = "/approvals/{token}"
schema = schemathesis.openapi.from_path(ROOT / "docs" / "reference" / "webhook.openapi.yaml")
# The document says what a body may look like, not which of them is an event: one that is none is refused as documented.
# And each request here has the right secret as well, or none would be let in.
EXCLUDED = [positive_data_acceptance, negative_data_rejection, ignored_auth]
SETTINGS = settings(max_examples=25, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def webhook() -> Generator[Webhook]:
    ledger = SqlLedger.in_memory()
    awaiting(ledger)
    with webhook_of(ledger, links=LINKS) as webhook:
        yield webhook


@schema.include(path="/events").parametrize()
@SETTINGS
def test_public_port_matches_its_document(case: schemathesis.Case, webhook: Webhook) -> None:
    """The public port answers as its OpenAPI document says."""
    case.call_and_validate(
        base_url=str(webhook.public.base_url), headers={"x-anew-secret": SECRET}, excluded_checks=EXCLUDED
    )


@schema.include(path=APPROVALS).parametrize()
@SETTINGS
def test_wrong_links_match_the_document(case: schemathesis.Case, webhook: Webhook) -> None:
    """Wrong approval links are answered as the OpenAPI document says."""
    case.call_and_validate(base_url=str(webhook.public.base_url), excluded_checks=EXCLUDED)


@schema.include(path=APPROVALS).parametrize()
@SETTINGS
def test_right_links_match_the_document(case: schemathesis.Case, webhook: Webhook) -> None:
    """Genuine approval links are answered as the OpenAPI document says."""
    link = LINKS.link(Permit("r-1", NOW + WAIT, "link-1"))
    case.path_parameters = {"token": link.rpartition("/")[2]}
    case.call_and_validate(base_url=str(webhook.public.base_url), excluded_checks=EXCLUDED)


@schema.exclude(path=["/events", APPROVALS]).parametrize()
@SETTINGS
def test_operator_port_matches_its_document(case: schemathesis.Case, webhook: Webhook) -> None:
    """The port of the operators answers as its OpenAPI document says."""
    case.call_and_validate(base_url=str(webhook.operator.base_url))


def test_every_route_is_documented(webhook: Webhook) -> None:
    """Every route is in the OpenAPI document."""
    assert {operation.ok().path for operation in schema.get_all_operations()} == {
        "/events",
        APPROVALS,
        "/healthz",
        "/readyz",
        "/status",
    }
