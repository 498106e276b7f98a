"""Links need an address that people reach safely, and a secret that nobody guesses."""

from pathlib import Path

import pytest

from anew.errors import InvalidSettings
from anew.settings import load_settings
from anew.wiring import approval_links

SECRET = "a-secret-of-thirty-two-bytes-or-more"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANEW_SETTINGS", raising=False)


def given(monkeypatch: pytest.MonkeyPatch, url: str = "", secrets: str = "[]") -> None:
    monkeypatch.setenv("ANEW_APPROVAL__PUBLIC_URL", url)
    monkeypatch.setenv("ANEW_APPROVAL__LINK_SECRETS", secrets)


def test_links_are_off_by_default() -> None:
    """Without settings there are no approval links."""
    assert approval_links(load_settings()) is None


@pytest.mark.parametrize("url", ["https://anew.example", "http://127.0.0.1:8710", "http://localhost:8710/"])
def test_links_use_the_public_address(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Approval links start with the configured public address."""
    given(monkeypatch, url, f'["{SECRET}"]')
    links = approval_links(load_settings())
    assert links is not None
    assert (links.public_url, links.secrets) == (url.rstrip("/"), (SECRET,))


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("http://anew.example", f'["{SECRET}"]'),
        ("anew.example", f'["{SECRET}"]'),
        ("https://anew.example", "[]"),
        ("", f'["{SECRET}"]'),
        ("https://anew.example", '["too-short-to-be-safe"]'),
    ],
)
def test_unsafe_settings_are_refused(monkeypatch: pytest.MonkeyPatch, url: str, secrets: str) -> None:
    """Incomplete or unsafe settings are refused, and the error does not show the secret."""
    given(monkeypatch, url, secrets)
    with pytest.raises(InvalidSettings, match="approval") as caught:
        approval_links(load_settings())
    assert SECRET not in str(caught.value)
    assert "too-short" not in str(caught.value)
