"""Which files of a folder count as images."""

import os

import pytest

from cnnlab.files.listing import list_files, stem_below, warn_left_out

PNG = b"\x89PNG\r\n\x1a\n"


def names(folder, paths):
    return [path.relative_to(folder).as_posix() for path in paths]


@pytest.fixture
def folder(tmp_path):
    for name in ("a.JPG", "night/b.jfif", "._a.jpg", ".hidden/c.png", "Thumbs.db", "notes.txt", "__MACOSX/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    return tmp_path


def test_images_of_subfolders_count_in_any_case_and_hidden_files_never(folder):
    files = list_files(folder)
    assert names(folder, files.images) == ["a.JPG", "night/b.jfif"]
    assert names(folder, files.others) == ["notes.txt"]
    assert names(folder, list_files(folder, deep=False).images) == ["a.JPG"]


def test_a_file_without_a_suffix_is_an_image_by_its_first_bytes(tmp_path):
    (tmp_path / "0001").write_bytes(PNG)
    (tmp_path / "LICENSE").write_text("free")
    files = list_files(tmp_path)
    assert (names(tmp_path, files.images), names(tmp_path, files.others)) == (["0001"], ["LICENSE"])


def test_links_to_folders_are_followed_and_circles_end(folder):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "d.png").write_bytes(PNG)
    root = folder / "root"
    root.mkdir()
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "self").symlink_to("self")
    assert names(root, list_files(root).images) == ["linked/d.png"]


def test_a_pipe_named_like_an_image_is_left_out_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    files = list_files(tmp_path)
    assert (files.images, names(tmp_path, files.others)) == ([], ["a.png"])
    with pytest.warns(UserWarning, match=r"left out 1 file that is no image: a\.png"):
        warn_left_out(tmp_path, files.others)


def test_names_that_look_the_same_are_the_same(tmp_path):
    assert stem_below(tmp_path / "cafe\u0301.png", tmp_path) == stem_below(tmp_path / "caf\u00e9.jpg", tmp_path)
