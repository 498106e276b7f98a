"""One worker at a time changes an endpoint."""

from datetime import timedelta

import pytest

from anew.engine.serving.endpoint_lease import endpoint_lease
from anew.errors import AzureUnavailable
from tests.builders import ENDPOINT, Play, serve

PLACE = f"online/{ENDPOINT}"


def test_second_worker_gets_none() -> None:
    """While a worker has the lease, another gets none; afterwards it does."""
    play = Play()
    with endpoint_lease(play.engine, PLACE, play.now) as first:
        with endpoint_lease(play.engine, PLACE, play.now) as second:
            assert first is not None
            assert second is None
        with endpoint_lease(play.engine, "batch/other", play.now) as other:
            assert other is not None
    with endpoint_lease(play.engine, PLACE, play.now) as later:
        assert later is not None


def test_late_write_is_not_sent() -> None:
    """A worker that was suspended cannot write when most of its lease is over."""
    play = Play()
    name = serve(play.azure, "3")
    with endpoint_lease(play.engine, PLACE, play.now) as leased:
        assert leased is not None
        play.now += timedelta(minutes=4)
        with pytest.raises(AzureUnavailable):
            leased.endpoints["online"].set_traffic(ENDPOINT, {name: 0})
    assert play.azure.endpoints[ENDPOINT].traffic == {name: 100}
