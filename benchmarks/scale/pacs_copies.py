"""Several copies of `pacs --watch` on one Orthanc, two of them killed in the middle.

    python -m benchmarks.scale.pacs_copies

Starts an Orthanc with its DICOMweb plugin on loopback, puts made-up films into it, and starts the
copies. When a third of the films are done, and each copy has done some, two get SIGKILL. At the end
each film must have one segmentation. Prints how long it took, and how often two copies have
segmented the same film.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from benchmarks.common import machine, write_section
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.masks.formats.dicom_seg.write import segmentation_uid
from tests.support import films, orthanc

PAGE = Path(__file__).parents[1] / "results" / "scale.md"
A_STUDY = 10  # films
KILLED = 2  # copies
QUIET = 6.0  # seconds that are watched at the end for further segmentations
PATIENCE = 1200.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--copies", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, orthanc.running(Path(folder) / "pacs") as server:
        uids = filled(server, Path(folder), asked.films)
        seconds, logs = watched(server, Path(folder), asked.films, asked.copies)
        model = load_bundle(bundled()).card.model
        found = Counter(str(one.SOPInstanceUID) for one in server.segmentations())
    expected = {segmentation_uid(uid, model) for uid in uids}
    # Films that two copies have segmented at once: the server kept the first result.
    times = Counter(re.findall(r"film ([0-9a-f]{12})[^\n]*: stored", logs))
    lines = [
        f"`python -m benchmarks.scale.pacs_copies`, {machine()}, shared with other work: "
        f"{asked.films} films of 96 x 96 px in studies of {A_STUDY}, {asked.copies} copies of "
        f"`pacs --watch` on one Orthanc, {KILLED} of them killed (SIGKILL) after a third.",
        "",
        "| | |",
        "|---|---|",
        f"| films with one segmentation | {len(expected & found.keys())} of {asked.films} |",
        f"| films with more than one, segmentations of no film | "
        f"{sum(count > 1 for count in found.values())}, {len(found.keys() - expected)} |",
        f"| films that more than one copy segmented | {sum(n > 1 for n in times.values())} |",
        f"| from the start to the last segmentation | {seconds:.0f} s |",
    ]
    print("\n".join(lines))
    if found != Counter(expected):
        sys.exit("a film has no segmentation, or more than one")
    write_section("Copies of pacs --watch", lines, PAGE)


def filled(server: orthanc.Orthanc, folder: Path, count: int) -> list[str]:
    """Put films into the PACS; return their SOP Instance UIDs."""
    draw, uids = np.random.default_rng(0), []
    for number in range(count):
        if number % A_STUDY == 0:
            study, series = generate_uid(), generate_uid()
        pixels = (films.bone(96, 96, 200) + draw.integers(0, 56, (96, 96))).astype(np.uint8)
        path = films.dicom(
            folder / "film.dcm", pixels, StudyInstanceUID=study, SeriesInstanceUID=series
        )
        uids.append(str(pydicom.dcmread(path).SOPInstanceUID))
        server.put(path)
    return uids


def watched(server: orthanc.Orthanc, folder: Path, count: int, copies: int) -> tuple[float, str]:
    """Run the copies to the end; return its seconds, and what they logged."""
    words = [sys.executable, "-m", "boneseg", "pacs", server.web, "--watch", "--every", "1"]
    words += ["--netrc", str(server.netrc), "--spool", str(folder / "spool")]
    logs = [folder / f"{number}.log" for number in range(copies)]
    running = [subprocess.Popen(words, stderr=log.open("wb")) for log in logs]
    began, last, done, killed = time.monotonic(), 0.0, 0, False
    try:
        while time.monotonic() - began < PATIENCE and (
            done < count or time.monotonic() - last < QUIET
        ):
            found = segmentations(server)
            if found != done:
                done, last = found, time.monotonic()
                print(f"{done} of {count} after {last - began:.0f} s", flush=True)
            at_work = all(": stored" in log.read_text(encoding="utf-8") for log in logs)
            if done > count / 3 and at_work and not killed:
                killed = True
                for process in running[:KILLED]:
                    process.kill()
            time.sleep(0.1)
    finally:
        for process in running:
            process.terminate()
            process.wait()
    return last - began, "".join(log.read_text(encoding="utf-8") for log in logs)


def segmentations(server: orthanc.Orthanc) -> int:
    """The segmentations that the PACS holds now."""
    return sum(
        len(series["Instances"])
        for series in server.get("/series?expand").json()
        if series["MainDicomTags"].get("Modality") == "SEG"
    )


if __name__ == "__main__":
    main()
