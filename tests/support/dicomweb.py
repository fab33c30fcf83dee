"""A DICOMweb server with the responses of a test."""

from __future__ import annotations

import sys

import httpx

from boneseg.pacs.dicomweb.client import DicomWeb

BONESEG = (sys.executable, "-c", "from boneseg.cli import main; main()")


class Fake(httpx.BaseTransport):
    """A server of which each path has a list of answers; the last one is given again."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def handle_request(self, request):
        kind = request.url.path.rsplit("/", 1)[-1]
        self.asked.append((kind, dict(request.url.params)))
        answers = self.answers[kind]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def row(**elements):
    return {tag.strip("t"): {"vr": "UI", "Value": [value]} for tag, value in elements.items()}


def fake(*, pauses=None, **answers):
    transport = Fake(**answers)
    sleep = (pauses if pauses is not None else []).append
    return transport, DicomWeb("https://pacs.example/rs", transport=transport, sleep=sleep)


class Clock:
    """A clock that advances only during a sleep."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


NOTHING = [None, {}, [], "", True, {"vr": "UI"}, {"vr": "UI", "Value": None}, {"Value": []}]
