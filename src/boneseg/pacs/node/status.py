"""Status codes of C-STORE and C-ECHO (PS3.4 B.2.3, PS3.7 annex C)."""

SUCCESS = 0x0000
FULL, TOO_LARGE = 0xA700, 0xC000
WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with a warning


def is_out_of_resources(status: int) -> bool:
    return status & 0xFF00 == FULL
