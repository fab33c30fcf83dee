"""The user's calibration: a table beside the films, which every reader of films applies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg._util.files import HIDDEN
from boneseg.errors import RadiographError, UsageError
from boneseg.radiograph.calibration import (
    CALIBRATION,
    Calibration,
    believable,
    calibration_of,
    check_width,
    rows_without_film,
    set_calibration,
)
from boneseg.radiograph.film import SPACINGS
from boneseg.radiograph.read import read_radiograph
from tests.support import films

HEAD = "name,mm_per_pixel,how\n"


def table(folder: Path, *rows: str) -> Path:
    path = folder / CALIBRATION
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["knee.dcm", "knee", "KNEE.dcm"])
def test_a_film_is_listed_with_or_without_its_suffix(tmp_path: Path, name: str) -> None:
    film = films.dicom(tmp_path / "knee.dcm", films.bone(), PixelSpacing=[0.3, 0.3])
    assert calibration_of(film) is None
    table(tmp_path, f"{name},0.15,ball of 25 mm", "hip,9,")
    assert calibration_of(film) == Calibration(0.15, "ball of 25 mm")
    read = read_radiograph(film)
    assert (read.spacing_mm, read.spacing_kind) == ((0.15, 0.15), "user")
    assert read.area_mm2(100) == 2.25


def test_a_table_that_changes_is_read_again(tmp_path: Path) -> None:
    """By its time, and by its size where the clock of the file system is coarse."""
    film = tmp_path / "knee.dcm"
    for row, moment in (("knee,0.15,", 10), ("knee,0.25,", 11), ("knee,0.125,", 11)):
        os.utime(table(tmp_path, row), (moment, moment))
        assert calibration_of(film) == Calibration(float(row.split(",")[1]), "")


def test_the_argument_replaces_the_table(tmp_path: Path) -> None:
    film = films.dicom(tmp_path / "knee.dcm", films.bone())
    table(tmp_path, "knee,0.15,")
    assert read_radiograph(film, spacing=0.2).spacing_mm == (0.2, 0.2)


@pytest.mark.parametrize("width", [0.0, -0.1, 143.0, float("nan")])
def test_a_width_that_no_pixel_has_is_refused(tmp_path: Path, width: float) -> None:
    film = films.dicom(tmp_path / "knee.dcm", films.bone())
    with pytest.raises(UsageError, match=r"spacing .*: give the width of a pixel, 0\.001 to 10 mm"):
        read_radiograph(film, spacing=width)


def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    film = films.dicom(tmp_path / "knee.dcm", films.bone(), PixelAspectRatio=[2, 1])
    assert read_radiograph(film, spacing=0.2).spacing_mm == (0.4, 0.2)


def test_the_table_of_a_dataset_is_beside_its_images(tmp_path: Path) -> None:
    film = tmp_path / "images" / "knee.png"
    film.parent.mkdir()
    table(tmp_path, "knee,0.15,")
    assert calibration_of(film) == Calibration(0.15)
    table(film.parent, "knee,0.2,")
    assert calibration_of(film) == Calibration(0.2), "the nearer one"
    assert calibration_of(tmp_path / "other" / "knee.png") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + "knee,0,", "line 2: '0' is not the width of a pixel in mm"),
        (HEAD + "hip,0.1,\nknee,nan,", "line 3: 'nan' is not the width"),
        (HEAD + "knee", "line 2: '' is not the width"),
        (HEAD + "knee,0.1,\nKnee,0.2,", "line 3: lists a film again"),
        ("film;mm\nknee;1", "does not begin with the columns name,mm_per_pixel,how"),
        ("\xff", "does not begin with the columns"),
    ],
)
def test_a_damaged_table_is_an_error_of_its_films(
    tmp_path: Path, content: str, message: str
) -> None:
    film = films.dicom(tmp_path / "knee.dcm", films.bone())
    (tmp_path / CALIBRATION).write_text(content)
    with pytest.raises(RadiographError, match=rf"knee\.dcm: calibration\.csv.*{message}"):
        read_radiograph(film)


def test_a_calibration_is_kept_beside_the_images_and_removed(tmp_path: Path) -> None:
    film = tmp_path / "images" / "knee.png"
    film.parent.mkdir()
    set_calibration(film, "knee", None)
    assert not (tmp_path / CALIBRATION).exists()
    table(tmp_path, "hip.png,0.1,a ruler")
    set_calibration(film, "knee", Calibration(0.15, "=ball"))
    set_calibration(film, "knee", Calibration(0.16, "=ball"))
    assert calibration_of(film) == Calibration(0.16, "=ball")
    assert calibration_of(film.with_name("hip.png")) == Calibration(0.1, "a ruler")
    set_calibration(film, "knee", None)
    assert calibration_of(film) is None
    assert (tmp_path / CALIBRATION).read_text() == HEAD + "hip.png,0.1,a ruler\n"


def test_a_table_that_lists_the_film_is_the_one_changed(tmp_path: Path) -> None:
    film = tmp_path / "images" / "knee.png"
    film.parent.mkdir()
    table(film.parent, "knee.png,0.2,")
    set_calibration(film, "knee", Calibration(0.3))
    assert calibration_of(film) == Calibration(0.3)
    assert not (tmp_path / CALIBRATION).exists()


def test_a_removed_film_is_in_no_table(tmp_path: Path) -> None:
    film = tmp_path / "images" / "knee.png"
    film.parent.mkdir()
    table(film.parent, "knee.png,0.2,")
    table(tmp_path, "knee,0.15,")
    set_calibration(film, "knee", None)
    assert calibration_of(film) is None


def test_columns_and_words_of_the_user_stay(tmp_path: Path) -> None:
    path = tmp_path / CALIBRATION
    path.write_text("name,mm_per_pixel,how,date\nhip,0.1,ruler,2026-11-02\n")
    film = tmp_path / "knee.png"
    set_calibration(film, "knee", Calibration(0.15, "ball\u2028of 25 mm"))
    assert calibration_of(film) == Calibration(0.15, "ball\u2028of 25 mm")
    set_calibration(film, "knee", None)
    assert path.read_text() == "name,mm_per_pixel,how,date\nhip,0.1,ruler,2026-11-02\n"
    path.write_text("name,mm_per_pixel\r\nhip,0.1\r\n")
    set_calibration(film, "knee", Calibration(0.15, "ball"))
    assert calibration_of(film) == Calibration(0.15, "ball")


@given(st.floats())
def test_a_believable_width_is_within_the_range_of_detectors(mm: float) -> None:
    assert believable(mm) == (SPACINGS[0] <= mm <= SPACINGS[1])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            HEAD + "knee,a very long text without a number,",
            "calibration.csv, line 2: 'a very long text wit' is not the width of a pixel in mm, "
            "0.001 to 10; correct it, or delete the line",
        ),
        (
            HEAD + ",0.1,",
            "calibration.csv, line 2: '0.1' is not the width of a pixel in mm, 0.001 to 10; "
            "correct it, or delete the line",
        ),
        (
            HEAD + "\n\nhip,0.1,\nhip,0.2,",
            "calibration.csv, line 5: lists a film again, with another width; keep one",
        ),
        ("", "calibration.csv does not begin with the columns name,mm_per_pixel,how"),
        (
            "mm_per_pixel,name,how\n",
            "calibration.csv does not begin with the columns name,mm_per_pixel,how",
        ),
        (b"name,mm_per_pixel\n\xff", "calibration.csv cannot be read; save it as CSV in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_words(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    whole = content if isinstance(content, bytes) else content.encode()
    (tmp_path / CALIBRATION).write_bytes(whole)
    for use in (
        lambda: calibration_of(tmp_path / "knee.png"),
        lambda: set_calibration(tmp_path / "knee.png", "knee", Calibration(0.15)),
    ):
        with pytest.raises(RadiographError) as refusal:
            use()
        assert str(refusal.value) == words
    assert (tmp_path / CALIBRATION).read_bytes() == whole


def test_a_table_may_be_of_a_spreadsheet(tmp_path: Path) -> None:
    """A mark of byte order, Windows line ends, empty lines, blanks, and quoted cells."""
    rows = ["name,mm_per_pixel,how", "", ' knee , 0.15 ,"ball, of 25 mm"', ",,", "hip,0.2"]
    (tmp_path / CALIBRATION).write_bytes("\ufeff".encode() + "\r\n".join(rows).encode())
    assert calibration_of(tmp_path / "knee.png") == Calibration(0.15, "ball, of 25 mm")
    assert calibration_of(tmp_path / "hip.png") == Calibration(0.2, "")


def test_a_film_may_be_listed_twice_with_one_width(tmp_path: Path) -> None:
    table(tmp_path, "knee,0.15,first", "KNEE,0.15,second")
    assert calibration_of(tmp_path / "knee.png") == Calibration(0.15, "first")


def test_a_film_goes_by_its_whole_name_first(tmp_path: Path) -> None:
    table(tmp_path, "knee,0.1,", "knee.png,0.2,")
    assert calibration_of(tmp_path / "knee.png") == Calibration(0.2)
    assert calibration_of(tmp_path / "knee.tif") == Calibration(0.1)


def test_an_accent_is_one_letter_or_two(tmp_path: Path) -> None:
    table(tmp_path, "M\u00fcller,0.15,")
    assert calibration_of(tmp_path / "Mu\u0308ller.png") == Calibration(0.15)


def test_films_of_the_light_box_have_the_table_of_its_data(tmp_path: Path) -> None:
    table(tmp_path, "knee,0.15,")
    assert calibration_of(tmp_path / HIDDEN / "inbox" / "knee.png") == Calibration(0.15)
    assert calibration_of(tmp_path / "inbox" / "knee.png") is None


def test_a_row_without_a_film_is_found_and_no_other(tmp_path: Path) -> None:
    """Films of the folder that are not asked for, and those of the light box, are films."""
    names = ("images/knee.png", "images/hip.png", f"{HIDDEN}/inbox/foot.dcm")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    film = tmp_path / "images" / "knee.png"
    assert rows_without_film([film]) == {}
    rows = ("KNEE,0.1,", "hip.png,0.1,", "foot,0.1,")
    listing = table(tmp_path, *rows)
    assert rows_without_film([film]) == {}
    table(tmp_path, *rows, "Knie,0.1,", "knee.dcm,0.1,")
    assert rows_without_film([film, film.with_name("hip.png")]) == {listing: ["Knie", "knee.dcm"]}
    assert rows_without_film([tmp_path / "other" / "knee.png"]) == {}
    table(tmp_path, "Knie,0,")
    assert rows_without_film([film]) == {}, "it is an error of each film"


def test_a_calibration_is_listed_under_its_name_alone(tmp_path: Path) -> None:
    table(tmp_path, "KNEE.png,0.1,old", "hip,0.2,", "left knee,0.3,")
    set_calibration(tmp_path / "knee.png", "Left Knee", Calibration(0.125, "ball"))
    text = (tmp_path / CALIBRATION).read_text()
    assert text == HEAD + "hip,0.2,\nLeft Knee,0.125,ball\n"
    set_calibration(tmp_path / "other.png", "other", None)
    assert (tmp_path / CALIBRATION).read_text() == text


@pytest.mark.parametrize(("mm", "shown"), [(0.0, "0"), (10.5, "10.5"), (float("inf"), "inf")])
def test_a_width_that_is_refused_is_named_by_what_gave_it(mm: float, shown: str) -> None:
    check_width(0.001)
    check_width(10)
    for words, named in ((("--spacing",), "--spacing"), ((), "spacing")):
        with pytest.raises(UsageError) as refusal:
            check_width(mm, *words)
        assert str(refusal.value) == f"{named} {shown}: give the width of a pixel, 0.001 to 10 mm"


def test_a_film_named_by_its_uid_has_no_suffix(tmp_path: Path) -> None:
    one, other = tmp_path / "1.2.840.7", tmp_path / "1.2.840.7.9"
    set_calibration(one, one.name, Calibration(0.143))
    assert calibration_of(other) is None
    set_calibration(other, other.name, Calibration(0.2))
    assert calibration_of(one) == Calibration(0.143) and calibration_of(other) == Calibration(0.2)
