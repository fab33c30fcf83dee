"""The documentation: what it shows works, and what it names exists."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stdout
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pydicom
import pytest
import typer
from _pytest.mark import ParameterSet

from boneseg.bundle.shipped import sample_films
from boneseg.cli import call
from boneseg.cli.typer_app import app
from boneseg.recipes.search_space import read_space
from boneseg.simulate import simulate
from scripts import reference
from scripts.reference.documents import CROSSVAL
from tests.support import ROOT, documentation, lightbox, orthanc
from tests.support.browser import QUIET
from tests.support.requirements import CHROMIUM, needs_browser, needs_orthanc

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = documentation.pages()
SHELL = (
    "pip",
    "python3",
    "source",
    "apt-get",
    "chmod",
    "cd",
    "git",
    "make",
    "ray",
    "srun",
    "torchrun",
    "docker",
    "kubectl",
    "openssl",
    "useradd",
    "install",
)
SMALL = {  # what an option of a page becomes here, so that its command takes a second
    "--minutes": ("--epochs", "1"),
    "--epochs": ("--epochs", "1"),
    "--folds": ("--folds", "2"),
    "--trials": ("--trials", "1"),
    "--size": ("--size", "64"),
}
TINY = (  # and what is added to the commands that train from scratch: a network of two levels
    *("--set", "prepare.height=32", "--set", "prepare.width=32"),
    *("--set", "network.widths=[2, 4]", "--set", "network.stem=1"),
)
TRAINING = ("train", "crossval", "compare", "tune")
SERVER = "http://127.0.0.1:8042"  # the PACS of the pages
STUDY = "1.2.826.0.1.3680043.8.498.1"
BOX = "http://127.0.0.1:8000"  # the light box of the pages


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_blocks(*languages: str) -> list[Path]:
    """Pages with such blocks; those on how to contribute have a test of their own."""
    return [
        page
        for page in PAGES
        if any(b.language in languages for b in documentation.blocks(page))
        and page not in documentation.FOLLOWED
    ]


def with_pacs_marked(pages: list[Path]) -> list[ParameterSet]:
    """Pages as parameters; those that talk to a PACS are skipped where there is none."""
    found = []
    for page in pages:
        marks = needs_orthanc if STUDY in page.read_text(encoding="utf-8") else ()
        found.append(pytest.param(page, id=page_id(page), marks=marks))
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a dozen films with masks."""
    folder = tmp_path_factory.mktemp("documentation") / "data"
    simulate(folder, 12, size=(64, 64))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", with_pacs_marked(with_blocks("sh", "python")))
def test_what_a_page_shows_runs_in_order(
    page: Path, data: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shown = documentation.blocks(page)
    everything = "".join(block.code for block in shown)
    (tmp_path / "films").mkdir()
    for name in ("hand", "knee"):
        shutil.copy(sample_films() / f"{name}.png", tmp_path / "films")
    if "simulate --out data" not in everything:
        shutil.copytree(data, tmp_path / "data")
    addresses: dict[str, str] = {}
    if STUDY in everything:
        addresses |= _filled_pacs(request.getfixturevalue("server"), tmp_path)
    if BOX in everything:
        addresses[BOX] = request.getfixturevalue("light_box")
    names: dict[str, object] = {}
    with chdir(tmp_path):
        for block in shown:
            code = block.code
            for address, real in addresses.items():
                code = code.replace(address, real)
            if block.title:
                Path(block.title).write_text(code, encoding="utf-8")
            if block.title == "space.toml":
                read_space(Path(block.title))
            if block.language == "sh":
                for words in documentation.commands(code):
                    _run(words, parse_only=block.parse_only)
            elif block.language == "ini":  # a unit of systemd
                joined = code.replace("\\\n", " ")
                for call in re.findall(r"^ExecStart=\S+/boneseg (.*)$", joined, re.MULTILINE):
                    _boneseg(shlex.split(call), parse_only=True)
            elif block.language == "python":
                small = code.replace('["run.minutes=10"]', f'["run.epochs=1", *{TINY[1::2]}]')
                exec(compile(small, page_id(page), "exec"), names)
        for path in Path().rglob("crossval.json"):
            found = json.loads(path.read_text(encoding="utf-8")).keys()
            assert found == CROSSVAL.keys()


@pytest.fixture
def light_box(tmp_path: Path) -> Iterator[str]:
    """The address of a light box with the film of the pages."""
    (tmp_path / "box" / "images").mkdir(parents=True)
    shutil.copy(sample_films() / "knee.png", tmp_path / "box" / "images")
    with lightbox.served("--data", tmp_path / "box") as address:
        yield address.rstrip("/")


def _filled_pacs(server: orthanc.Orthanc, folder: Path) -> dict[str, str]:
    """Put a study of two films into a PACS; return what its addresses replace on the pages."""
    paths = orthanc.study(folder / "study", 2)
    for path in paths:
        server.put(path)
    shutil.copy(server.netrc, folder / "boneseg.netrc")
    return {SERVER: server.root, STUDY: str(pydicom.dcmread(paths[0]).StudyInstanceUID)}


def _run(words: Sequence[str], *, parse_only: bool) -> None:
    """Run a command of a page, or parse it."""
    words = [word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word)]
    if words[0] == "boneseg":
        _boneseg(words[1:], parse_only=parse_only)
    elif words[:2] == ["pip", "install"]:
        for word in words[2:]:
            if word.startswith("boneseg["):
                extras = word.removeprefix("boneseg[").rstrip("]").split(",")
                assert set(extras) <= PROJECT["optional-dependencies"].keys()
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "chmod" and not parse_only:
        subprocess.run(words, check=True)
    else:
        assert Path(words[0]).name in SHELL, f"a page shows {words[0]}, which no test runs"
        if "boneseg" in words[:-1]:  # started by another command
            _boneseg(words[words.index("boneseg") + 1 :], parse_only=True)


def _boneseg(words: list[str], *, parse_only: bool) -> None:
    out = None
    if ">" in words:
        out = Path(words[words.index(">") + 1])
        words = words[: words.index(">")]
    if parse_only:
        command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
        command.make_context(f"boneseg {words[0]}", words[1:])
        return
    small: list[str] = []
    for word in words:
        if small and small[-1] in SMALL:
            small[-1:] = SMALL[small[-1]]
        elif small and small[-1] == "--count":
            small.append(str(max(3, int(word) // 3)))
        else:
            small.append(word)
    small = [path for word in small for path in _globbed(word)]
    if small[0] in TRAINING and "--init" not in small:
        small += TINY
    if small[0] == "pacs":  # it sets handlers of signals
        subprocess.run([*lightbox.COMMAND, *small], check=True)
        return
    with (out or Path(os.devnull)).open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        assert call(small) == 0


def _globbed(word: str) -> list[str]:
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    reference.write(folder / "docs")
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_the_site_is_built_without_a_warning_and_has_every_page(site: Path) -> None:
    for page in (*PAGES, *(ROOT / "docs" / name for name in documentation.GENERATED)):
        if page.is_relative_to(ROOT / "docs"):
            assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    written = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
    names = [page.relative_to(ROOT / "docs").as_posix() for page in written]
    for name in (*names, *documentation.GENERATED):
        assert f'"{name}"' in config, name


def test_a_page_loads_nothing_from_the_network(site: Path) -> None:
    tags = "link|script|img|iframe|source"
    loads = re.compile(rf"""<(?:{tags})\b[^>]*(?:src|href)=["']?([^"'\s>]+)""")
    for page in site.rglob("*.html"):
        for address in loads.findall(page.read_text(encoding="utf-8")):
            assert not urlsplit(address).netloc, f"{page.name} loads {address}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"""(?:url\(|@import )["']?(?:https?:)?//""", text), style.name


@needs_browser
def test_a_page_contacts_only_its_own_server_and_fits_a_phone(site: Path) -> None:
    start = pytest.importorskip("playwright.sync_api").sync_playwright
    handler = functools.partial(QuietHandler, directory=str(site))
    wide = "document.documentElement.scrollWidth > window.innerWidth"
    asked: set[str] = set()
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        start() as driver,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = f"127.0.0.1:{server.server_address[1]}"
        page = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET).new_page(
            viewport={"width": 390, "height": 844}
        )
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        for name in ("index", "explanation/architecture", "reference/command-line"):
            page.goto(f"http://{own}/{name}.html", wait_until="load")
            assert not page.evaluate(wide), name
        server.shutdown()
    assert asked == {own}


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("page", [*PAGES, *documentation.others()], ids=page_id)
def test_every_link_to_a_file_of_the_repository_leads_to_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    generated = {ROOT / "docs" / name for name in documentation.GENERATED}
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        inside = re.match(r"https://github\.com/boneseg/boneseg/(?:blob|tree)/main/(.*)", link)
        path = ROOT / inside[1] if inside else page.parent / link.partition("#")[0]
        if inside or not urlsplit(link).scheme:
            assert path.exists() or path.resolve() in generated, link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_module_class_and_function_named_exists(page: Path) -> None:
    text = documentation.without_files(page)
    for name in set(re.findall(r"\bboneseg(?:\.[A-Za-z_]\w*)+", text)):
        if not name.endswith((".toml", ".netrc", ".service", ".token")):
            _resolve(name)


@pytest.mark.parametrize("page", [*PAGES, *documentation.others()], ids=page_id)
def test_every_option_named_beside_its_verb_exists(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for span in re.findall(r"`([^`\n]+)`", documentation.without_files(page)):
        verb, *words = span.removeprefix("boneseg ").split() or [""]
        if verb in commands:
            known = {name for one in commands[verb].params for name in one.opts}
            named = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert named <= known | {"--help"}, span


@pytest.mark.parametrize("page", [*PAGES, *documentation.others()], ids=page_id)
def test_every_program_named_exists(page: Path) -> None:
    text = documentation.without_files(page)
    shown = {block.title for block in documentation.blocks(page)}
    for name in re.findall(r"(?:benchmarks|scripts|tests|fuzz)/[\w/.-]+", text):
        assert name in shown or (ROOT / name.rstrip(".")).exists(), name
    for name in re.findall(r"-m ((?:benchmarks|scripts)[\w.]+)", text):
        assert (ROOT / name.replace(".", "/")).with_suffix(".py").exists(), name


def _resolve(name: str) -> object:
    """The object of a dotted name. Raises AttributeError if there is none."""
    found: object = import_module("boneseg")
    at = "boneseg"
    for part in name.split(".")[1:]:
        at += f".{part}"
        if not hasattr(found, part):
            try:
                import_module(at)
            except ModuleNotFoundError:
                raise AttributeError(f"{name}: there is no {at}") from None
        found = getattr(found, part)
    return found


def test_the_citation_names_the_version_of_the_package() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(PROJECT['version'])}$", text, re.MULTILINE)
