"""Names of deployments that Azure accepts, and references to models that Azure gives."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.rollouts.naming import deployment_name, model_of_reference, version_of

_AZURE_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")
_IDS = st.tuples(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=20)) | st.tuples(
    st.text("ab-1", min_size=1, max_size=6), st.text("01-b", min_size=1, max_size=3)
)


def test_short_name_stays_readable() -> None:
    """A name that fits is used as it is."""
    assert deployment_name("elec2", "12") == "elec2-12"


@given(_IDS)
def test_name_is_valid_and_stable(identity: tuple[str, str]) -> None:
    """Azure accepts the name, and it is the same each time."""
    name = deployment_name(*identity)
    assert _AZURE_NAME.fullmatch(name)
    assert name == deployment_name(*identity)


@given(_IDS, _IDS)
def test_names_are_unique(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Different versions never share a name."""
    assert (deployment_name(*one) == deployment_name(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a" * 40, "1"), ("a" * 40, "2")),
        (("a" * 40 + "b", "1"), ("a" * 40 + "c", "1")),
        (("Elec2", "1"), ("elec2", "1")),
        (("a_b", "1"), ("a-b", "1")),
        (("a", "1-2"), ("a-1", "2")),
        (("m-1", "1"), ("1", "1")),
    ],
)
def test_similar_names_stay_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Names that are alike once they are cut still differ."""
    assert deployment_name(*one).casefold() != deployment_name(*other).casefold()


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("azureml:elec2:3", "elec2:3"),
        ("/subscriptions/s/resourceGroups/g/providers/X/workspaces/w/models/elec2/versions/3", "elec2:3"),
        ("azureml:/subscriptions/s/resourceGroups/g/providers/X/workspaces/w/models/elec2/versions/3", "elec2:3"),
        ("azureml://registries/r/models/elec2/versions/3", "elec2:3"),
        ("azureml://jobs/j/outputs/model", None),
        ("./model", None),
        ("", None),
    ],
)
def test_references_name_a_model(reference: str, expected: str | None) -> None:
    """Every form of reference that Azure uses is understood, and nothing else."""
    assert model_of_reference(reference) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("elec2:3", "3"),
        ("ELEC2:3", "3"),
        ("price:3", None),
        ("elec2", None),
        ("elec2:", None),
        ("", None),
        (None, None),
    ],
)
def test_version_of_another_model(reference: str | None, expected: str | None) -> None:
    """A reference gives a version only of the model that is asked for."""
    assert version_of(reference, "elec2") == expected
