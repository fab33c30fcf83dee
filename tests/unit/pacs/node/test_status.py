"""Status codes of C-STORE (PS3.4 B.2.3)."""

from __future__ import annotations

from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from boneseg.pacs.node.status import FULL, SUCCESS, TOO_LARGE, WARNINGS, is_out_of_resources


def test_codes_mean_what_the_standard_says() -> None:
    assert code_to_category(SUCCESS) == "Success"
    assert {code_to_category(code) for code in WARNINGS} == {"Warning"}
    assert code_to_category(FULL) == code_to_category(TOO_LARGE) == "Failure"
    assert {FULL, TOO_LARGE, *WARNINGS} <= set(STORAGE_SERVICE_CLASS_STATUS)


def test_all_codes_of_a7_are_out_of_resources() -> None:
    found = [code for code in STORAGE_SERVICE_CLASS_STATUS if is_out_of_resources(code)]
    assert found == [code for code in STORAGE_SERVICE_CLASS_STATUS if code >> 8 == 0xA7] != []
