"""The folder that `segment` and `convert` write to, which keeps the results of earlier calls.

    folder = OutputFolder(Path("masks"), "segment.json", ["mask", "coco"])
    [target] = folder.targets([Path("films/knee.png")], [Path("films/knee.png")])
    outputs, entries, skipped = write_outputs(found, folder.path / target.stem, folder.formats)
    folder.add(target, {"outputs": outputs}, entries)
    folder.close()

An input of an earlier call replaces its own outputs and its own entry in the report and in the
documents of all films. All other entries stay, and no input takes another's file name. What
somebody has drawn or corrected in the folder is not replaced: see `masks/ledger.py`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import write_json
from boneseg._util.text import as_compared, printable
from boneseg.errors import MaskError, OutputError, RadiographError, UsageError
from boneseg.masks.filenames import stem_of
from boneseg.masks.formats import BONES, DOCUMENT_FORMATS, FILM_FORMATS, NAMED_FORMAT, FilmFormat
from boneseg.masks.formats.png import check_replaceable
from boneseg.masks.ledger import Ledger, digest_of
from boneseg.masks.segmentation import Segmentation
from boneseg.radiograph.provenance import ReportEntry, film_key, name_key, read_report

LONGEST = 200  # bytes of a film's name in those of its outputs, which have 255 and longer endings
SAVE_EVERY = 10.0  # seconds between reports: a killed process leaves the last one


@dataclass(frozen=True)
class Target:
    """The names of the outputs of an input.

    stem: of its files. title: its name in documents of all films. key: identifies the input across
    calls.
    """

    stem: str
    title: str
    key: str


class OutputFolder:
    """The outputs of earlier calls and of this one.

    The caller has locked the folder: see `_util/lock.py`.

    Raises OutputError if the file with the report's name is of another kind.
    """

    def __init__(self, path: Path, report: str, formats: Sequence[str]) -> None:
        self.path, self.report, self.formats = path, path / report, formats
        entries = read_report(self.report)
        if entries is None:
            raise OutputError(
                f"{self.report}: was not written by boneseg, so it is not replaced; move it, "
                "or choose another folder for --out"
            )
        self._entries = {entry.key: entry for entry in entries}
        self._documents: dict[str, dict[str, object]] = {}
        self._before: dict[str, str | None] = {}  # the digests of documents, by format
        self._ledger = Ledger(self.report, entries)
        self._spared: set[str] = set()  # keys of inputs of which somebody has changed a file
        self._saved = time.monotonic()

    def targets(
        self, inputs: Sequence[Path], names: Sequence[Path], frame: int | None = None
    ) -> list[Target]:
        """The targets of the inputs of this call.

        names: their names in outputs (`radiograph.privacy.public_path`). frame: the requested
        frame. Raises UsageError if a file would be replaced that no earlier call has written, or a
        document that somebody has changed; OutputError if a file with a document's name is of
        another kind.
        """
        keys = self._keys(inputs, names, frame)
        again = {key: self._entries[key] for key in keys if key in self._entries}
        others = [entry for key, entry in self._entries.items() if key not in again]
        stems = _Stems(self.formats, [self.report.name])
        for entry in others:
            stems.reserve(*entry.outputs.values(), *_stem(entry))
        before = {key: stems.take(stem) for key in again for stem in _stem(again[key])}
        chosen = [
            before.get(key) or stems.take(_shortened(stem_of(name)))
            for key, name in zip(keys, names, strict=True)
        ]
        files = [name for stem in chosen for name in files_of(stem, self.formats).values()]
        self._read_documents()
        self._spare(files)
        self._ledger.begin([*files, *documents(self.formats).values()])
        titles = self._titles(keys, names, chosen, again, others)
        return [Target(*one) for one in zip(chosen, titles, keys, strict=True)]

    def check(self, target: Target) -> None:
        """Raise MaskError where a file would be replaced that somebody has changed.

        The record and the other files of that input then stay as they are. For any thread.
        """
        for name in files_of(target.stem, self.formats).values():
            if self._ledger.is_changed(name):
                self._spared.add(target.key)
                raise MaskError(_changed(self.path / name))

    def add(self, target: Target, record: ReportEntry, entries: Mapping[str, object]) -> None:
        """Add the record of an input to the report.

        entries: its entries in documents, by format. Files of an earlier call in other formats
        stay in the record. Raises OutputError.
        """
        if target.key in self._spared:
            return
        before = self._entries.get(target.key, ReportEntry({}, {}))
        kept = {kind: name for kind, name in before.outputs.items() if (self.path / name).exists()}
        outputs = kept | record.outputs
        digests = {kind: before.digests[kind] for kind in kept} | {
            kind: self._ledger.note(name)
            for kind, name in record.outputs.items()
            if kind not in self._documents
        }
        marks = {
            "outputs": outputs,
            "title": target.title,
            "key": target.key,
            "digests": digests,
        }
        self._entries[target.key] = ReportEntry(outputs, record.facts | marks)
        for kind, entry in entries.items():
            film = self._documents[kind]
            if (old := printable(before.title)) != printable(target.title):
                film.pop(old, None)
            film[printable(target.title)] = entry
        if time.monotonic() - self._saved > SAVE_EVERY:
            self._save()

    def close(self, *, ended: bool = True) -> None:
        """Write the documents and the report. Raises OutputError.

        ended: whether no file is written any more.
        """
        try:
            for kind in self._documents:
                self._write_document(kind)
        finally:
            self._save()
        if not ended:
            return
        listed = {name for entry in self._entries.values() for name in entry.outputs.values()}
        self._ledger.close(listed.union(documents(self.formats).values()))

    def _read_documents(self) -> None:
        for kind, name in documents(self.formats).items():
            self._before[kind] = digest_of(self.path / name)
            self._documents[kind] = DOCUMENT_FORMATS[kind].read_document(self.path / name)

    def _write_document(self, kind: str) -> None:
        """Write a document, and its digest into the entries of its films. Raises OutputError."""
        path = self.path / DOCUMENT_FORMATS[kind].document
        if digest_of(path) != self._before[kind]:
            raise OutputError(_changed(path))
        DOCUMENT_FORMATS[kind].write_document(path, list(self._documents[kind].values()))
        digest = self._ledger.note(path.name)
        for entry in self._entries.values():
            if kind in entry.outputs:
                entry.facts["digests"] = entry.digests | {kind: digest}

    def _save(self) -> None:
        write_json(self.report, [entry.facts for entry in self._entries.values()])
        self._saved = time.monotonic()

    def _keys(self, inputs: Sequence[Path], names: Sequence[Path], frame: int | None) -> list[str]:
        """A key for each input. A report of an older version has no keys, only names."""
        keys: list[str] = []
        for path, name in zip(inputs, names, strict=True):
            key = film_key(path, name, self.path, frame)
            old = name_key(name)
            if old in self._entries and old not in keys:
                self._entries = {key if k == old else k: e for k, e in self._entries.items()}
            while key in keys:  # an input given twice
                key = hashlib.sha256(key.encode()).hexdigest()[:16]
            keys.append(key)
        return keys

    def _titles(
        self,
        keys: Sequence[str],
        names: Sequence[Path],
        stems: Sequence[str],
        again: Mapping[str, ReportEntry],
        others: Sequence[ReportEntry],
    ) -> list[str]:
        """The name of each input's file; its path or its stem if another has that name."""
        taken = {entry.title for entry in others}
        namesakes = Counter([name.name for name in names])
        titles = []
        for key, name, stem in zip(keys, names, stems, strict=True):
            called = name.name if namesakes[name.name] == 1 else name.as_posix()
            before = again[key].title if key in again else ""
            wanted = (before, called, name.as_posix(), f"{stem}{name.suffix}", key)
            titles.append(next(title for title in wanted if title and title not in taken))
            taken.add(titles[-1])
        return titles

    def _spare(self, files: Iterable[str]) -> None:
        """Refuse to replace a file of somebody else, or a document that somebody has changed."""
        written = {
            documents(self.formats)[kind] for kind, films in self._documents.items() if films
        }
        for name in [*files, *written]:  # a document without a film is nobody's work
            if self._ledger.is_foreign(name):
                raise UsageError(
                    f"{self.path / name}: would be replaced, and {self.report.name} does not list "
                    "it; move it, or choose another folder for --out"
                )
        for name in documents(self.formats).values():
            if self._ledger.is_changed(name):
                raise UsageError(_changed(self.path / name))


def _changed(path: Path) -> str:
    return (
        f"{path}: was changed since boneseg wrote it, so it is not replaced; move it, or choose "
        "another folder for --out"
    )


def write_outputs(
    found: Segmentation, out: Path, formats: Sequence[str]
) -> tuple[dict[str, str], dict[str, object], dict[str, str]]:
    """Write the outputs of a film. A format that is impossible for the film is skipped.

    out: the folder and the stem of the files. Returns the names of the outputs, the document
    entries, and the reasons of skipped formats, each by format. If writing fails, what this call
    has written is removed: a mask without its overlay would look finished. Files that it has not
    reached stay, as somebody may have changed them. Raises BonesegError; the first reason if every
    format was skipped.
    """
    files = files_of(out.name, formats)
    if BONES in files:
        check_replaceable(out.with_name(files[BONES]))  # before anything is written
    written: dict[str, str] = {}
    entries: dict[str, object] = {}
    skipped: dict[str, str] = {}
    try:
        for kind in [*files, *documents(formats)]:
            try:
                if kind in files:
                    _format_of(kind).write(out.with_name(files[kind]), found)
                    written[kind] = files[kind]
                else:
                    entries[kind] = DOCUMENT_FORMATS[kind].entry(found)
            except (RadiographError, MaskError) as error:
                skipped[kind] = str(error).removeprefix(f"{found.name}: ")
        if skipped and not written and not entries:
            raise RadiographError(f"{found.name}: {next(iter(skipped.values()))}")
    except BaseException:
        for file in written.values():
            _remove(out.with_name(file))
        raise
    return written | {kind: documents(formats)[kind] for kind in entries}, entries, skipped


def files_of(stem: str, formats: Sequence[str]) -> dict[str, str]:
    """The name of each format's file, or of its folder, for a film."""
    names = [name for name in (*FILM_FORMATS, BONES) if name in formats]
    return {name: stem + _format_of(name).suffix for name in names}


def _format_of(name: str) -> FilmFormat:
    return NAMED_FORMAT if name == BONES else FILM_FORMATS[name]


def _remove(path: Path) -> None:
    """Remove a file, or the folder of the masks of bones."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()


def documents(formats: Sequence[str]) -> dict[str, str]:
    """The name of each format's document for all films."""
    return {name: DOCUMENT_FORMATS[name].document for name in formats if name in DOCUMENT_FORMATS}


def unique_stems(
    inputs: Sequence[Path], formats: Sequence[str] = (), reserved: Iterable[str] = ()
) -> Iterator[str]:
    """A name for each input's outputs: its stem, with a number if one of its files is taken.

    reserved: files that belong to no film; the documents of the formats are reserved in any case.
    """
    stems = _Stems(formats, reserved)
    return (stems.take(_shortened(stem_of(path))) for path in inputs)


class _Stems:
    """Stems without duplicate file names, ignoring case and how accents are stored."""

    def __init__(self, formats: Sequence[str], reserved: Iterable[str]) -> None:
        self._formats, self._taken = formats, set[str]()
        self.reserve(*reserved, *documents(formats).values())

    def reserve(self, *names: str) -> None:
        self._taken |= set(map(as_compared, names))

    def take(self, own: str) -> str:
        """A stem, with a number if it is taken."""
        stem, number = own, 2
        while self._taken & (names := self._names(stem)):
            stem, number = f"{own}-{number}", number + 1
        self._taken |= names
        return stem

    def _names(self, stem: str) -> set[str]:
        return set(map(as_compared, (stem, *files_of(stem, self._formats).values())))


def _shortened(stem: str) -> str:
    held = os.fsencode(stem)
    return stem if len(held) <= LONGEST else held[:LONGEST].decode(errors="ignore")


def _stem(entry: ReportEntry) -> list[str]:
    """The stem of an entry's files, if it has any."""
    for kind, name in entry.outputs.items():
        suffix = _format_of(kind).suffix if kind in (*FILM_FORMATS, BONES) else ""
        if suffix and name.endswith(suffix):
            return [name.removesuffix(suffix)]
    return []
