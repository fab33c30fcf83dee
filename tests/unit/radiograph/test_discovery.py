"""Folders are searched for films; results and masks among them are not films."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boneseg.errors import RadiographError, UsageError
from boneseg.radiograph import discovery
from boneseg.radiograph.discovery import check_file, find_radiographs
from boneseg.radiograph.read import read_radiograph
from tests.support.pictures import GREY, saved


def test_folders_are_searched(tmp_path):
    for name in ("b.PNG", "a.jpg", "deep/er/c.tif", "notes.txt", ".hidden.png", ".git/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("1.2.840.10008", "IM0001", "DICOMDIR"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    names = ["1.2.840.10008", "IM0001", "a.jpg", "b.PNG", "deep/er/c.tif"]
    assert find_radiographs([tmp_path]) == [tmp_path / name for name in names]


def test_files_are_taken_as_given_and_once(tmp_path):
    for name in ("b.xyz", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    given_ = [tmp_path / "b.xyz", tmp_path / "a.png", tmp_path]
    assert find_radiographs(given_) == [tmp_path / "b.xyz", tmp_path / "a.png"]


@pytest.mark.parametrize("out", ["ins/out", "ins/../ins/out", "link"])
def test_the_folder_for_results_is_not_searched_for_films(tmp_path, out):
    for name in ("ins/a.png", "ins/out/a_mask.png", "ins/out/deep/a.png", "ins/outer/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "ins" / "out")
    found = find_radiographs([tmp_path / "ins"], tmp_path / out)
    assert found == [tmp_path / "ins" / "a.png", tmp_path / "ins" / "outer" / "b.png"]


def test_masks_beside_their_films_are_not_films(tmp_path):
    names = ("d/images/a.png", "d/masks/a.png", "x/labels/a.png", "y/masks/b.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_radiographs([tmp_path]) == [tmp_path / names[i] for i in (0, 2, 3)]
    assert find_radiographs([tmp_path / "d" / "masks"]) == [tmp_path / "d" / "masks" / "a.png"]


def test_a_film_named_by_several_paths_is_taken_once(tmp_path, monkeypatch):
    (tmp_path / "ins").mkdir()
    film = tmp_path / "ins" / "a.png"
    film.write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(film)
    monkeypatch.chdir(tmp_path)
    named = [Path("ins/a.png"), film, Path("ins/../ins/a.png"), tmp_path, Path("link.png")]
    assert find_radiographs(named) == [Path("ins/a.png")]
    assert find_radiographs(named[::-1]) == [Path("link.png")]


def test_links_are_followed_and_circles_end(tmp_path):
    for name in ("ins/a.png", "ins/deep/b.png", "elsewhere/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for link, target in (
        ("ins/deep/up", "ins"),
        ("ins/over", "elsewhere"),
        ("ins/again", "elsewhere"),
        ("elsewhere/back", "ins/deep"),
    ):
        (tmp_path / link).symlink_to(tmp_path / target)
    found = find_radiographs([tmp_path / "ins"])
    assert [path.name for path in found] == ["a.png", "c.png", "b.png"]
    assert [path.resolve() for path in found] == [
        tmp_path / name for name in ("ins/a.png", "elsewhere/c.png", "ins/deep/b.png")
    ]


def test_a_broken_link_to_a_film_is_reported(tmp_path):
    saved(tmp_path / "a.png", GREY)
    for name in ("b.png", "notes"):
        (tmp_path / name).symlink_to(tmp_path / "away" / name)
    found = find_radiographs([tmp_path])
    assert [path.name for path in found] == ["a.png", "b.png"]
    with pytest.raises(RadiographError, match="no such file"):
        read_radiograph(found[1])


def test_a_folder_that_cannot_be_searched_is_reported_and_stops_no_other(tmp_path, monkeypatch):
    for name in ("a.png", "shut/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        saved(tmp_path / name, GREY)
    scandir, shut = os.scandir, tmp_path / "shut"

    def refuse(path):  # as to a user without the right, which root is not
        if Path(path) == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_radiographs([tmp_path]) == [tmp_path / "a.png", shut]
    for read in (read_radiograph, lambda folder: find_radiographs([folder])):
        with pytest.raises(RadiographError, match=r"shut: cannot be searched \(Perm"):
            read(shut)


def test_nothing_found_is_said(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        find_radiographs([tmp_path / "none"])
    with pytest.raises(RadiographError, match="holds no radiographs"):
        find_radiographs([tmp_path])


def test_a_folder_without_films_is_reported_and_stops_no_other(tmp_path):
    (tmp_path / "empty").mkdir()
    film = saved(tmp_path / "a.png", GREY)
    found = find_radiographs([tmp_path / "empty", film])
    assert found == [tmp_path / "empty", film]
    with pytest.raises(RadiographError, match="holds no radiographs"):
        read_radiograph(found[0])


MARKED = bytes(128) + b"DICM"


@pytest.mark.parametrize("name", ["DICOMDIR", "dicomdir", "Dicomdir"])
def test_the_index_of_a_medium_is_no_film(tmp_path, name):
    for one in (name, "IM0001"):
        (tmp_path / one).write_bytes(MARKED)
    assert find_radiographs([tmp_path]) == [tmp_path / "IM0001"]


@pytest.mark.parametrize("step", ["is_result", "has_dicom_mark"])
def test_a_file_that_cannot_be_opened_is_a_film_by_its_suffix(tmp_path, monkeypatch, step):
    """Reading it gives the reason."""
    for name in ("a.PNG", "b.dcm", "notes", "c.txt"):
        (tmp_path / name).write_bytes(MARKED)

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(discovery, step, refuse)
    assert find_radiographs([tmp_path]) == [tmp_path / "a.PNG", tmp_path / "b.dcm"]


def test_what_is_no_file_is_no_film(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    film = saved(tmp_path / "a.png", GREY)
    assert find_radiographs([tmp_path]) == [film]
    with pytest.raises(RadiographError) as refusal:
        check_file(tmp_path / "pipe.png")
    words = "is not a file; give a PNG, JPEG, TIFF, BMP, WebP or DICOM file"
    assert str(refusal.value) == f"{tmp_path / 'pipe.png'}: {words}"


def test_a_path_that_is_no_film_is_refused_in_words(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "films").mkdir()
    check_file(saved(tmp_path / "films" / "a.png", GREY))
    (tmp_path / "zero.png").touch()
    formats = "PNG, JPEG, TIFF, BMP, WebP or DICOM"
    for name, words in (
        ("empty", f"is a folder that holds no radiographs; give {formats} files"),
        ("films", f"is a folder; give {formats} files"),
        ("none.png", "there is no such file; check the name"),
        ("zero.png", "is empty (0 bytes); copy or export it again"),
    ):
        with pytest.raises(RadiographError) as refusal:
            check_file(tmp_path / name)
        assert str(refusal.value) == f"{tmp_path / name}: {words}"


def test_a_path_that_does_not_exist_is_refused_in_words(tmp_path):
    with pytest.raises(UsageError) as refusal:
        find_radiographs([saved(tmp_path / "a.png", GREY), tmp_path / "none"])
    words = "there is no such file or folder; check the name"
    assert str(refusal.value) == f"{tmp_path / 'none'}: {words}"


def test_a_folder_that_cannot_be_searched_has_a_reason_in_words(tmp_path, monkeypatch):
    for error, reason in ((PermissionError(13, "denied"), "denied"), (OSError(), "I/O error")):

        def refuse(path, error=error):
            raise error

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(RadiographError) as refusal:
            check_file(tmp_path)
        words = f"cannot be searched ({reason}); check its permissions"
        assert str(refusal.value) == f"{tmp_path}: {words}"


def test_results_that_a_report_lists_are_no_films(tmp_path):
    for report, name in (("segment.json", "a.png"), ("convert.json", "b.png")):
        folder = tmp_path / report
        folder.mkdir()
        for film in ("a.png", "b.png"):
            saved(folder / film, GREY)
        (folder / report).write_text(f'[{{"outputs": {{"mask": "{name}"}}}}]')
    found = [path.relative_to(tmp_path) for path in find_radiographs([tmp_path])]
    assert found == [Path("convert.json/a.png"), Path("segment.json/b.png")]


def test_names_are_taken_as_text_too(tmp_path):
    film = saved(tmp_path / "a.png", GREY)
    assert find_radiographs([str(film)]) == [film]
    assert find_radiographs([]) == []


def test_several_folders_without_films_are_refused_by_the_first(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    with pytest.raises(RadiographError, match="b: is a folder that holds no radiographs"):
        find_radiographs([tmp_path / "b", tmp_path / "a"])
