"""Find the mask of a film by the report beside it, where the name alone is of another film.

    reported = ReportedMasks(Path("masks"), files)
    reported.chosen(Path("siteB/001.png"), [file_001_mask])    # [file_001-2_mask]

`segment` and `convert` call the outputs of a second film of the same name `001-2`, so the mask
`001_mask.png` need not be of the film `001.png` that is evaluated. A report that says nothing of
a film, lists one film of its name only, or whose films are no longer where they were, changes
nothing: the name decides.
"""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from boneseg._util.files import real_path, same_place
from boneseg._util.text import printable
from boneseg.dataset.pairing import MaskFile
from boneseg.errors import MaskError
from boneseg.masks.filenames import stem_of
from boneseg.radiograph.privacy import public_path
from boneseg.radiograph.provenance import REPORTS, ReportEntry, film_key, read_report

# Outputs that are the mask of a film, in the order in which they are preferred; not the overlay or
# the probability, which evaluation would take for a mask.
_MASKS = ("mask", "nrrd", "nifti", "dicom-seg", "labelme", "yolo", "bones")
_DOCUMENTS = ("coco", "coco-polygons", "cvat", "label-studio")


class ReportedMasks:
    """The masks of a folder, and what its reports say of which film each is."""

    def __init__(self, place: Path, masks: Sequence[MaskFile]) -> None:
        self.place, self.masks = place, masks
        self._folder = place if place.is_dir() else place.parent
        self._entries = [
            entry for name in REPORTS for entry in read_report(self._folder / name) or ()
        ]
        self._by_output: dict[str, list[ReportEntry]] = defaultdict(list)
        for entry in self._entries:
            for output in entry.outputs.values():
                self._by_output[output].append(entry)

    def chosen(self, film: Path, named: Sequence[MaskFile]) -> Sequence[MaskFile]:
        """The masks of a film. named: those that have its name.

        Raises MaskError if all of them are of other films, of which several have this name, and the
        reports list none of this one.
        """
        if not self._entries:
            return named
        own = self._own(film)
        kept = [mask for mask in named if not self._is_of_another(mask, film, own)]
        if any(not self._listing(mask) or self._is_of(mask, own) for mask in kept):
            return kept
        found = kept if not own else self._best(own) or kept
        if named and not found:
            if not self._has_namesakes(film):  # perhaps it is that film, saved anew
                return named
            raise MaskError(
                f"{self.place}: {named[0].path.name} is the mask of another film of that name, as "
                "the report beside it says; segment this film, too"
            )
        return found

    def _has_namesakes(self, film: Path) -> bool:
        """Whether the reports list several films of a name."""
        inputs = {str(entry.facts.get("input", "")) for entry in self._entries}
        return sum(stem_of(Path(one)) == stem_of(film) for one in inputs) > 1

    def _best(self, own: Sequence[ReportEntry]) -> list[MaskFile]:
        """The masks that the entries of a film list, in the most preferred of the formats."""
        for kind in (*_MASKS, *_DOCUMENTS):
            for entry in own:
                name = entry.outputs.get(kind)
                listed = [mask for mask in self.masks if mask.path.name == name]
                if found := [mask for mask in listed if entry in self._listing(mask)]:
                    return found
        return []

    def _listing(self, mask: MaskFile) -> list[ReportEntry]:
        """The entries that list a mask; in a document of several films, by the film's title."""
        entries = self._by_output.get(mask.path.name, [])
        if mask.film is None or mask.film == mask.uid:
            return entries
        return [entry for entry in entries if printable(entry.title) == mask.film]

    def _is_of(self, mask: MaskFile, own: Sequence[ReportEntry]) -> bool:
        return any(entry in own for entry in self._listing(mask))

    def _is_of_another(self, mask: MaskFile, film: Path, own: Sequence[ReportEntry]) -> bool:
        """Whether a mask is certainly of another film."""
        entries = self._listing(mask)
        if not entries or self._is_of(mask, own):
            return False
        inputs = [self._input(entry) for entry in entries]
        return all(path is not None and not _is_same(path, film) for path in inputs)

    def _own(self, film: Path) -> list[ReportEntry]:
        """The entries of a film, by its key, otherwise by its path."""
        name = public_path(film)
        keys = {film_key(film, name, self._folder, frame) for frame in self._frames}
        own = [entry for entry in self._entries if entry.key in keys]
        return own or self._by_input.get(real_path(film), [])

    @cached_property
    def _frames(self) -> set[int | None]:
        frames = (entry.facts.get("frame") for entry in self._entries)
        return {None} | {frame for frame in frames if isinstance(frame, int)}

    @cached_property
    def _by_input(self) -> dict[Path, list[ReportEntry]]:
        found: dict[Path, list[ReportEntry]] = defaultdict(list)
        for entry in self._entries:
            if path := self._input(entry):
                found[real_path(path)].append(entry)
        return found

    def _input(self, entry: ReportEntry) -> Path | None:
        """The film of an entry, if it is still there.

        A relative path may be another file now, as it depends on the working directory of the call;
        the key shows that.
        """
        path, frame = Path(str(entry.facts.get("input", ""))), entry.facts.get("frame")
        if not path.is_file():
            return None
        if path.is_absolute() or "key" not in entry.facts:
            return path
        key = film_key(path, path, self._folder, frame if isinstance(frame, int) else None)
        return path if key == entry.key else None


def _is_same(one: Path, other: Path) -> bool:
    """Whether two films are one file, or one is a copy of the other."""
    try:
        return same_place(one, other) or filecmp.cmp(one, other, shallow=False)
    except OSError:
        return True  # nobody knows: the name decides
