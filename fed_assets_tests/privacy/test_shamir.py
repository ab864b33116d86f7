from __future__ import annotations

import itertools
import secrets

import pytest

from fed_assets.privacy.shamir import SECRET_BYTES, SHARE_BYTES, combine, split

HOLDERS = ["north", "east", "south", "west", "middle"]


@pytest.mark.parametrize("threshold", [1, 3, 5])
def test_any_threshold_of_shares_give_the_secret_and_fewer_do_not(threshold: int) -> None:
    for secret in (secrets.token_bytes(SECRET_BYTES), bytes(32), b"\xff" * 32):
        shares = split(secret, threshold, HOLDERS)
        assert {len(share) for share in shares.values()} == {SHARE_BYTES}
        for number in range(1, len(HOLDERS) + 1):
            for some in itertools.combinations(HOLDERS, number):
                held = {holder: shares[holder] for holder in some}
                if number >= threshold:
                    assert combine(held, HOLDERS) == secret
                else:
                    with pytest.raises(ValueError, match="no shares of one secret"):
                        combine(held, HOLDERS)


def test_the_order_in_which_holders_are_named_is_of_no_matter() -> None:
    secret = secrets.token_bytes(SECRET_BYTES)
    shares = split(secret, 3, HOLDERS)
    assert combine(dict(list(shares.items())[2:]), sorted(HOLDERS)) == secret


def test_a_wrong_share_shows() -> None:
    shares = split(bytes(32), 3, HOLDERS)
    shares["east"] = secrets.token_bytes(SHARE_BYTES)
    with pytest.raises(ValueError, match="no shares of one secret"):
        combine(shares, HOLDERS)


def test_the_same_secret_is_shared_in_another_way_each_time() -> None:
    assert split(bytes(32), 2, HOLDERS) != split(bytes(32), 2, HOLDERS)


@pytest.mark.parametrize(("length", "threshold"), [(31, 2), (32, 0), (32, 6)])
def test_what_cannot_be_shared_is_refused(length: int, threshold: int) -> None:
    with pytest.raises(ValueError, match="no such secret"):
        split(bytes(length), threshold, HOLDERS)
