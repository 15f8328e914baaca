"""A file is written whole or not at all; whatever is no plain file is written as it stands."""

import os
import threading
from pathlib import Path

import pytest

from addin_sim.outlook_settings import Account
from addin_sim.own_keys import ProfileError, own_keys
from addin_sim.whole_file import write_whole
from tests.full_disk import FullDisk


def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "ime.reg"
    write_whole(file, b"old")
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(OSError, match="File too large"):
            write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_only_the_owner_reads_what_is_secret(tmp_path: Path) -> None:
    write_whole(tmp_path / "key", b"secret", mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_link_and_a_pipe_stay_what_they_are(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("file")
    write_whole(link, b"data")
    assert link.is_symlink() and (tmp_path / "file").read_bytes() == b"data"
    os.mkfifo(pipe)
    writer = threading.Thread(target=write_whole, args=(pipe, b"data"))
    writer.start()
    assert pipe.read_bytes() == b"data"
    writer.join()
    assert pipe.is_fifo()


def test_no_half_key_pair_is_left(tmp_path: Path) -> None:
    profile, account = tmp_path / "profile", Account(address="anna@acme.example")
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(ProfileError, match=r"own-key\.pem: File too large"):
            own_keys(profile, account, 1_795_000_000.0)
    assert list(profile.iterdir()) == []
