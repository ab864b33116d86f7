from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.containers.issuing import issue, read_key
from fed_assets.errors import ContainerRefused

KEY = "bm8ga2V5"


def written(folder: Path, content: str, mode: int = 0o600) -> Path:
    path = folder / "account.key"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return path


def test_an_accounts_key_is_read_without_the_lines_end(tmp_path: Path) -> None:
    assert read_key(written(tmp_path, f"{KEY}\n")) == KEY


@pytest.mark.parametrize(
    ("content", "mode", "seen"),
    [
        (KEY, 0o644, "others may read it"),
        ("", 0o600, "no key in base64"),
        ("no base64", 0o600, "no key in base64"),
        ("clé", 0o600, "no key in base64"),
    ],
)
def test_what_is_no_key_of_ones_own_is_told_of_as_a_key(
    tmp_path: Path, content: str, mode: int, seen: str
) -> None:
    path = written(tmp_path, content, mode)
    with pytest.raises(ContainerRefused, match="The account's key cannot be used") as told:
        read_key(path)
    assert seen in told.value.seen
    assert f"`chmod 600 {path}`" in told.value.cure
    assert "container.json" not in str(told.value)
    assert not content or content not in str(told.value)


def test_a_key_file_that_is_not_there_is_told_of_as_one(tmp_path: Path) -> None:
    with pytest.raises(ContainerRefused, match="The account's key cannot be used") as told:
        read_key(tmp_path / "none")
    assert "No such file" in told.value.seen
    assert "container.json" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("ftp://account.example.org", "not https"),
        ("http://account.blob.core.windows.net", "not https"),
        ("http://blob.example.org/account", "not https"),
        ("account.blob.core.windows.net", "not https"),
        ("https://account.blob.core.windows.net/?sv=1&sig=pasted", "more than an address"),
        ("https://account:pasted@account.blob.core.windows.net", "more than an address"),
        ("https://account.blob.core.windows.net/#pasted", "more than an address"),
        ("https:///pasted", "no host"),
        ("https://[pasted", "no address"),
        ("https://account.example.org:pasted", "no address"),
    ],
)
def test_what_is_no_accounts_address_is_refused_and_not_repeated(url: str, seen: str) -> None:
    with pytest.raises(ContainerRefused) as told:
        issue(url, KEY, "north", days=1)
    assert told.value.seen == seen
    assert "https://ACCOUNT.blob.core.windows.net" in told.value.cure
    assert "pasted" not in str(told.value)
