"""The master key's file: made once, private, and refused with a sentence when it is not right."""

import os
from pathlib import Path

import pytest

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.store.master_key import create_master_key, read_master_key


def test_a_key_is_made_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key = create_master_key(path, os.urandom)
    assert read_master_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == key.hex() + "\n"


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key = create_master_key(path, os.urandom)
    with pytest.raises(ConfigurationError, match="exists"):
        create_master_key(path, os.urandom)
    assert read_master_key(path) == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o666])
def test_a_key_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    create_master_key(path, os.urandom)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{mode:04o}.*chmod 600"):
        read_master_key(path)


@pytest.mark.parametrize("text", ["", "00", "0" * 63, "0" * 65, "g" * 64, "0" * 64 + "\n" + "0" * 64, "0" * 4000])
def test_anything_but_64_digits_is_refused_without_telling_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        read_master_key(path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.key.*No such file"):
        read_master_key(tmp_path / "missing.key")
