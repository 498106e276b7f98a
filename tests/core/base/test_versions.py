"""The order of model versions."""

from hypothesis import given
from hypothesis import strategies as st

from anew.core.base.versions import is_newer, next_version


def test_versions_compare_as_numbers() -> None:
    """Numbers compare by value, and are newer than any text."""
    assert is_newer("10", "9")
    assert not is_newer("9", "9")
    assert is_newer("1", "beta")


def test_next_follows_highest_number() -> None:
    """The next version is one above the highest number."""
    assert next_version(["2", "10", "beta"]) == "11"
    assert next_version([]) == "1"


@given(st.lists(st.integers(0, 10**6).map(str) | st.text(max_size=4)))
def test_next_is_newest(versions: list[str]) -> None:
    """The next version is newer than every other, whatever their names."""
    assert all(is_newer(next_version(versions), version) for version in versions)
