"""A link decides on the retraining it was made for, until its deadline, and on nothing else."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.retrainings.approval_links import AUDIENCE, ApprovalLinks, Permit
from anew.errors import ExpiredLink, InvalidLink, InvalidSettings

NOW = datetime(2026, 7, 14, 4, tzinfo=UTC)
SECRET = "first-secret-of-thirty-two-bytes"
OTHER = "other-secret-of-thirty-two-bytes"
LINKS = ApprovalLinks("https://anew.example/", (SECRET,))
PERMIT = Permit("r-0123456789ab", NOW + timedelta(days=3), "link-1")

ids = st.from_regex(r"r-[0-9a-f]{12}", fullmatch=True)


def token(links: ApprovalLinks = LINKS, permit: Permit = PERMIT) -> str:
    return links.link(permit).rpartition("/")[2]


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    claims = {"aud": AUDIENCE, "sub": "r-1", "exp": int(PERMIT.until.timestamp()), "jti": "link-1"} | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm)


def test_link_is_below_public_url() -> None:
    """A link is below the public URL."""
    assert LINKS.link(PERMIT).startswith("https://anew.example/approvals/ey")


@given(ids, st.integers(1, 10**9))
def test_link_returns_its_permit(about: str, seconds: int) -> None:
    """A link returns the permit that it was made for."""
    permit = Permit(about, NOW + timedelta(seconds=seconds), "link-1")
    assert LINKS.check(token(permit=permit), NOW) == permit


@given(ids, ids)
def test_link_is_for_one_retraining(one: str, other: str) -> None:
    """A link is for one retraining only."""
    permitted = LINKS.check(token(permit=Permit(one, PERMIT.until, "link-1")), NOW).retraining_id
    assert (permitted == other) is (one == other)


@given(
    st.integers(0, len(token()) - 1),
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=%"),
)
def test_altered_link_is_refused(place: int, character: str) -> None:
    """Altering any one character makes a link invalid."""
    good = token()
    altered = good[:place] + character + good[place + 1 :]
    if altered == good:
        return
    with pytest.raises(InvalidLink):
        LINKS.check(altered, NOW)


@pytest.mark.parametrize("alphabet", ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"])
def test_link_has_one_spelling(alphabet: str) -> None:
    """A link with another last character is refused."""
    good = token()
    accepted = [each for each in alphabet if _is_good(good[:-1] + each)]
    assert accepted == [good[-1]]


@given(st.integers(1, 300))
def test_shortened_link_is_refused(length: int) -> None:
    """A shortened link is refused."""
    good = token()
    with pytest.raises(InvalidLink):
        LINKS.check(good[: -min(length, len(good))], NOW)


@given(st.text(max_size=300))
def test_other_text_is_refused(text: str) -> None:
    """Text that is not a link is refused."""
    with pytest.raises(InvalidLink):
        LINKS.check(text, NOW)


@given(st.timedeltas(timedelta(0), timedelta(days=1000)))
def test_link_expires_at_its_deadline(late: timedelta) -> None:
    """A link expires at its deadline."""
    with pytest.raises(ExpiredLink):
        LINKS.check(token(), PERMIT.until + late)


def test_link_is_valid_before_deadline() -> None:
    """A link is valid until just before its deadline."""
    assert LINKS.check(token(), PERMIT.until - timedelta(seconds=1)) == PERMIT


def test_listed_old_secret_is_accepted() -> None:
    """A link signed with an old secret is valid while that secret is listed."""
    old = token()
    assert ApprovalLinks("https://anew.example", (OTHER, SECRET)).check(old, NOW) == PERMIT


def test_removed_secret_is_refused() -> None:
    """A link signed with a removed secret is refused."""
    with pytest.raises(InvalidLink):
        ApprovalLinks("https://anew.example", (OTHER,)).check(token(), NOW)


def test_first_secret_signs() -> None:
    """The first secret signs new links."""
    new = token(ApprovalLinks("https://anew.example", (OTHER, SECRET)))
    assert ApprovalLinks("https://anew.example", (OTHER,)).check(new, NOW) == PERMIT


@pytest.mark.parametrize(
    "forged",
    [
        signed(aud="something-else"),
        signed(aud=None),
        signed(aud=[AUDIENCE]),
        signed(sub=None),
        signed(jti=None),
        signed(exp=None),
        signed(exp=True),
        signed(secret=OTHER),
        signed(algorithm="HS512", secret=SECRET * 2),
        signed(algorithm="none", secret=""),
        "x" * 2000,
    ],
)
def test_forged_token_is_refused(forged: str) -> None:
    """A forged token is refused."""
    with pytest.raises(InvalidLink) as caught:
        LINKS.check(forged, NOW)
    assert caught.type is InvalidLink


def test_other_algorithm_is_refused() -> None:
    """The right secret with another algorithm is not enough."""
    secret = SECRET * 2
    with pytest.raises(InvalidLink):
        ApprovalLinks("https://anew.example", (secret,)).check(signed(secret, "HS512"), NOW)


@pytest.mark.parametrize("secrets", [(), ("short",), (SECRET, "short"), (" " * 40,)])
def test_weak_secret_is_refused(secrets: tuple[str, ...]) -> None:
    """A weak secret is refused and not shown."""
    with pytest.raises(InvalidSettings, match="link_secrets") as caught:
        ApprovalLinks("https://anew.example", secrets)
    assert "short" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    """Secrets are not part of the `repr`."""
    assert SECRET not in repr(LINKS)


def _is_good(text: str) -> bool:
    try:
        LINKS.check(text, NOW)
    except InvalidLink:
        return False
    return True
