"""Sealed values open only where they belong."""

import os

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.store.sealed_secrets import SecretBox

KEY = bytes(range(32))


def test_a_secret_opens_in_its_place_only() -> None:
    box = SecretBox(KEY, os.urandom)
    sealed = box.seal("certificates", "row1", b"secret")
    assert SecretBox(KEY, os.urandom).open("certificates", "row1", sealed) == b"secret"
    assert b"secret" not in sealed
    for table, row in (("certificates", "row2"), ("bodies", "row1"), ("certificatesrow1", "")):
        with pytest.raises(StoreUnavailable):
            box.open(table, row, sealed)


def test_every_bit_counts() -> None:
    box = SecretBox(KEY, os.urandom)
    sealed = box.seal("t", "r", b"s")
    for at in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(StoreUnavailable):
            box.open("t", "r", bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(StoreUnavailable):
            box.open("t", "r", sealed[:length])


def test_another_master_key_opens_nothing_and_has_another_name() -> None:
    box, other = SecretBox(KEY, os.urandom), SecretBox(bytes(32), os.urandom)
    with pytest.raises(StoreUnavailable):
        other.open("t", "r", box.seal("t", "r", b"s"))
    assert box.key_id != other.key_id
    assert KEY.hex() not in box.key_id


def test_the_same_secret_never_seals_to_the_same_bytes() -> None:
    box = SecretBox(KEY, os.urandom)
    assert len({box.seal("t", "r", b"s") for _ in range(50)}) == 50


def test_authentic_depends_on_key_label_and_data() -> None:
    box = SecretBox(KEY, os.urandom)
    values = {box.authentic("a", b"x"), box.authentic("b", b"x"), box.authentic("a", b"y")}
    assert len(values | {SecretBox(bytes(32), os.urandom).authentic("a", b"x")}) == 4
    assert box.authentic("a", b"x") in values


def test_a_short_master_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        SecretBox(b"short", os.urandom)
