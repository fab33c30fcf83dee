"""Files that boneseg has written are distinguished from films."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boneseg.masks.formats.dicom_seg.write import write as write_segmentation
from boneseg.masks.formats.png import write_mask
from boneseg.radiograph.provenance import ReportEntry, is_result, listed_results, read_report
from tests.support.readings import MASK, card, dicom_film, picture, reading


def test_masks_and_segmentations_are_results_and_films_are_not(tmp_path: Path) -> None:
    film, scan = picture(tmp_path / "knee.png"), dicom_film(tmp_path / "hip.dcm")
    write_mask(tmp_path / "knee_mask.png", MASK)
    write_segmentation(tmp_path / "hip.seg.dcm", reading(scan, MASK, card()))
    assert is_result(tmp_path / "knee_mask.png") and is_result(tmp_path / "hip.seg.dcm")
    assert not is_result(film) and not is_result(scan)
    assert is_result(film, {"knee.png"})  # listed in a report


def test_the_files_of_all_reports_of_a_folder_are_listed(tmp_path: Path) -> None:
    for report, name in (("segment.json", "a.png"), ("convert.json", "b.nrrd")):
        (tmp_path / report).write_text(json.dumps([{"outputs": {"x": name}}]))
    assert listed_results(tmp_path) == {"a.png", "b.nrrd"}


@pytest.mark.parametrize(
    "text", ["{}", "[1]", '[{"outputs": []}]', '[{"outputs": {"mask": 1}}]', "[", "null", "\xff"]
)
def test_what_is_not_a_report_lists_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "segment.json").write_text(text, encoding="latin-1")
    assert read_report(tmp_path / "segment.json") is None
    assert listed_results(tmp_path) == frozenset()


def test_a_missing_report_is_empty(tmp_path: Path) -> None:
    assert read_report(tmp_path / "segment.json") == []


def test_an_entry_of_an_older_version_goes_by_its_name() -> None:
    old = ReportEntry.of({"input": "films/knee.png", "outputs": {}})
    new = ReportEntry.of({"input": "films/knee.png", "title": "left", "key": "k", "outputs": {}})
    assert old is not None and new is not None
    assert (old.title, new.title) == ("knee.png", "left")
    assert (old.key, new.key) == ("name films/knee.png", "k")


@pytest.mark.parametrize("ending", [b"", b"\0", b"\0\0", b" "])
@pytest.mark.parametrize("kind", [b"66.4", b"66.7", b"66.5", b"66.44"])
def test_a_segmentation_is_known_by_its_class_however_padded(
    tmp_path: Path, kind: bytes, ending: bytes
) -> None:
    """The preamble may hold anything, even the mark of the class."""
    uid = b"1.2.840.10008.5.1.4.1.1." + kind + ending
    mark = b"\2\0\2\0UI"
    for preamble in (bytes(128), (mark + b"\4\0" + b"1.2.").ljust(128, b"\0")):
        head = preamble + b"DICM" + mark + len(uid).to_bytes(2, "little") + uid
        path = tmp_path / "a.dcm"
        path.write_bytes(head + b"1.2.3")
        assert is_result(path) == (kind in (b"66.4", b"66.7"))
        path.write_bytes(head.replace(b"DICM", b"DICN"))
        assert not is_result(path)
    path.write_bytes(bytes(128) + b"DICM" + uid)
    assert not is_result(path)


def test_a_picture_is_a_result_if_its_software_is_boneseg(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for software, written in ((b"boneseg", True), (b"other", False)):
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"tEXtSoftware\0" + software)
        assert is_result(path) == written
        path.write_bytes(b"\x88PNG\r\n\x1a\n" + b"tEXtSoftware\0" + software)
        assert not is_result(path)


def test_an_entry_without_a_name_has_the_title_and_key_of_none() -> None:
    entry = ReportEntry.of({"outputs": {"mask": "a.png"}, "title": None})
    assert entry is not None and entry.outputs == {"mask": "a.png"}
    assert (entry.title, entry.key) == ("", "name None")
    assert entry.facts["outputs"] == {"mask": "a.png"}


def test_a_report_that_cannot_be_read_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "segment.json").mkdir()
    assert read_report(tmp_path / "segment.json") is None
    assert listed_results(tmp_path) == frozenset()


def test_one_entry_that_is_none_makes_the_whole_no_report(tmp_path: Path) -> None:
    good = {"outputs": {"mask": "a.png"}}
    for document, read in (([good, good], 2), ([good, 1], None), ([], 0)):
        (tmp_path / "segment.json").write_text(json.dumps(document))
        found = read_report(tmp_path / "segment.json")
        assert (found if found is None else len(found)) == read


def test_the_mark_of_a_result_is_near_the_start_of_its_file(tmp_path: Path) -> None:
    path, text = tmp_path / "a.png", b"tEXtSoftware\0boneseg"
    for before, written in ((8, True), (900, True), (1100, False)):
        path.write_bytes(b"\x89PNG".ljust(before, b"\0") + text)
        assert is_result(path) == written


def test_a_file_that_a_report_lists_need_not_be_opened(tmp_path: Path) -> None:
    assert is_result(tmp_path / "none.png", {"none.png"})
    with pytest.raises(FileNotFoundError):
        is_result(tmp_path / "none.png", {"other.png"})
