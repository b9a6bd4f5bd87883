"""Files are written whole, and never through a link."""

import errno
import os

import pytest

from cnnlab.files.atomic import LOCK, lock, replacing, write_text


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "elsewhere" / "precious.txt"
    path.parent.mkdir()
    path.write_text("precious")
    return path


@pytest.mark.parametrize("name", ["a.json", ".a.json.part"])
def test_a_link_at_the_files_or_the_parts_place_is_replaced_and_its_target_stays(tmp_path, target, name):
    (tmp_path / name).symlink_to(target)
    write_text(tmp_path / "a.json", "new")
    assert target.read_text() == "precious"
    assert (tmp_path / "a.json").read_text() == "new"
    assert not (tmp_path / "a.json").is_symlink()


def test_a_lock_that_is_a_link_is_refused_by_name(tmp_path, target):
    (tmp_path / LOCK).symlink_to(target)
    with pytest.raises(ValueError, match=r"\.lock is a link"), lock(tmp_path, "held"):
        pass
    assert target.read_text() == "precious"


def test_a_name_of_255_bytes_is_written(tmp_path):
    path = tmp_path / ("ä" * 125 + ".json")
    write_text(path, "long")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_fails_leaves_the_old_file_and_no_part(tmp_path):
    write_text(tmp_path / "a", "old")

    def fails():
        with replacing(tmp_path / "a") as part:
            part.write_text("ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "old")]


def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"a\.txt is a pipe, a socket or a device"):
        write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").is_fifo()


def test_a_full_disk_is_told_with_the_file_that_was_written(tmp_path):
    message = r"the disk is full; make room and repeat the command: .*a\.txt"
    with pytest.raises(OSError, match=message), replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())
