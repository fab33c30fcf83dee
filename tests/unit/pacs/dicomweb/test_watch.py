"""Watching a server: one failure delays nothing else, and is retried."""

from __future__ import annotations

import httpx
import pytest
from pydicom.dataset import Dataset

from boneseg.errors import OutputError, RadiographError, ServiceError
from boneseg.pacs.dicomweb import watch as watching
from boneseg.pacs.dicomweb.client import DicomWeb, Instance, Series, Study
from boneseg.pacs.dicomweb.watch import Watch
from boneseg.pacs.segment import Segmented
from tests.support.dicomweb import NOTHING, Clock, fake, row
from tests.support.verdicts import REVIEW


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_refused_study_blocks_no_other_and_is_retried(room, status):
    asked, count, told, clock = [], 1, [], Clock()

    def answer(request):
        if "limit=1&" not in f"{request.url.query.decode()}&":  # else the client looks who is well
            asked.append(request.url.path)
        if request.url.path == "/studies":
            studies = [row(t0020000D=uid, t00201208=count) for uid in ("1.2.3", "1.2.4")]
            return httpx.Response(200, json=studies)
        return httpx.Response(status) if "1.2.3" in request.url.path else httpx.Response(204)

    web = DicomWeb(
        "https://pacs.example", transport=httpx.MockTransport(answer), sleep=lambda pause: None
    )
    tries = 3 if status == 500 else 1
    watch = Watch(web, None, room, report=told.append, clock=clock)
    for second, times in ((0, 1), (5, 1), (11, 2), (20, 2), (32, 3)):
        clock.time = second
        watch.round()
        assert asked.count("/studies/1.2.3/series") == times * tries and len(told) == times
        assert asked.count("/studies/1.2.4/series") == 1
    count = 2  # something was added to it
    assert [outcome.state for outcome in watch.round()] == ["failed"]
    assert told[0].film.startswith("study ") and "1.2.3" not in str(told[0])


class OneFilm:
    """A server with one film, and what happens where it is fetched."""

    def __init__(self, fetch):
        self.fetch = fetch

    def studies(self, since):
        return [Study("1.2.3", 1)]

    def series(self, study):
        return [Series("1.2.3.4", "CR")]

    def instances(self, study, series):
        return [Instance(study, series.uid, "1.2.3.4.5", series.modality)]


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (OutputError("a folder: cannot be written (No space left on device); free some"), 6),
        (ServiceError("https://pacs: responds with 504, for this request only"), 6),
        (KeyError("a bug"), 6),
        (MemoryError(), 6),
        (RadiographError("is a film of 4 frames"), 1),
    ],
)
def test_only_errors_of_the_film_itself_are_final(room, engine, error, tries):
    asked, clock = [], Clock()

    def fetch(film, path):
        asked.append(film)
        raise error

    watch = Watch(OneFilm(fetch), engine, room, clock=clock)
    for _ in range(6):
        watch.round()
        clock.time += 4000
    assert len(asked) == tries


@pytest.mark.parametrize(
    ("least", "state"), [("good", "withheld"), ("review", "stored"), ("unsuitable", "stored")]
)
def test_masks_with_a_lower_verdict_are_withheld_once(room, engine, monkeypatch, least, state):
    segmented, stored = [], []

    def segment(path, engine, name):
        segmented.append(name)
        return Segmented(Dataset(), REVIEW)

    monkeypatch.setattr(watching, "segment", segment)
    server = OneFilm(lambda film, path: path.write_bytes(b""))
    server.store = stored.append
    clock, told = Clock(), []
    watch = Watch(server, engine, room, least=least, report=told.append, clock=clock)
    for _ in range(3):
        watch.round()
        clock.time += 4000
    assert told[0].state == state and told[0].verdict == REVIEW
    assert len(segmented) == 1 and len(stored) == (state == "stored")
    assert "review (trust 0.81): chest: ribs over heart and liver" in str(told[0])


def test_a_watch_ends_if_authentication_fails(room):
    _, web = fake(studies=[httpx.Response(401)])
    with pytest.raises(ServiceError, match="authentication failed"):
        Watch(web, None, room).forever()


NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"0020000D":', b'[{"a": 1e}]', b"[NaN,"]
)
def test_invalid_json_does_not_end_a_watch(room, lines, body):
    good = [row(t0020000D="1.2.3", t00201208=1)]
    answers = [httpx.Response(200, content=body), good]
    _, web = fake(studies=answers, series=[httpx.Response(204)])
    pauses = []

    def sleep(pause):
        pauses.append(pause)
        if len(pauses) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Watch(web, None, room).forever(every=10, sleep=sleep)
    assert pauses == [20, 10, 10]
    assert any("sends invalid JSON" in line and "trying again in 20 s" in line for line in lines)


def test_a_running_watch_survives_every_response(room):
    _, web = fake(studies=[[], httpx.Response(404), httpx.Response(200, text="<p>"), []])
    pauses = []

    def sleep(pause):
        pauses.append(pause)
        if len(pauses) == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Watch(web, None, room).forever(every=10, sleep=sleep)
    assert pauses == [10, 20, 40, 10]
