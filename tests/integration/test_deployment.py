"""The files of deploy/ agree with the program and with schemas; no container engine runs them."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import typer
import yaml
from fastapi.testclient import TestClient

from boneseg.bundle.shipped import bundled
from boneseg.cli.typer_app import app
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from boneseg.server.storage.library import Library
from tests.support import ROOT

DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)
KUBERNETES = "1.37"
MANIFESTS = [
    pytest.param(document, id=f"{path.stem}-{document['kind']}")
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
RAY_CLUSTER = {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
RAY_JOB = {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit"}
HEAD = {"rayStartParams", "template"}
WORKERS = {*HEAD, "groupName", "replicas", "minReplicas", "maxReplicas"}

Json = dict[str, object]


def found(document: object, key: str) -> Iterator[object]:
    """The values of a key anywhere in a document."""
    parts = document.values() if isinstance(document, dict) else document
    if isinstance(document, dict) and key in document:
        yield document[key]
    for part in parts if isinstance(document, dict | list) else ():
        yield from found(part, key)


def parsed(words: list[str]) -> dict[str, object]:
    """The arguments of a call of boneseg, by parameter."""
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    arguments: dict[str, object] = command.make_context(f"boneseg {words[0]}", words[1:]).params
    return arguments


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server with a token, as a probe reaches it by the address of its pod."""
    box = LightBox(Library(tmp_path_factory.mktemp("data")), bundled())
    try:
        yield TestClient(create_app(box, token="s3cret"), base_url="http://10.1.2.3:8000")
    finally:
        box.close()


@pytest.mark.parametrize("document", MANIFESTS)
def test_a_manifest_has_the_form_that_its_schema_asks_for(document: dict[str, Json]) -> None:
    """KubeRay's schema is not at hand: of its own fields the names are checked, and the pods."""
    spec = document["spec"]
    if document["apiVersion"] != "ray.io/v1":
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    if document["kind"] == "RayJob":
        assert spec.keys() == RAY_JOB | {"rayClusterSpec"}
        spec = spec["rayClusterSpec"]
    assert spec.keys() == RAY_CLUSTER
    assert spec["rayVersion"] == PINNED["ray"]
    head, workers = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head.keys() == HEAD
    assert all(group.keys() == WORKERS for group in workers)
    ray = Path(find_spec("ray").submodule_search_locations[0])  # importing it takes seconds
    options = set(re.findall(r"--([a-z-]+)", (ray / "scripts" / "scripts.py").read_text()))
    for group in (head, *workers):
        assert group["rayStartParams"].keys() <= options
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.mark.parametrize("document", MANIFESTS)
def test_the_commands_of_a_manifest_are_those_of_the_program(document: Json) -> None:
    for words in found(document, "args"):
        parsed(words)
    for entry in found(document, "entrypoint"):
        words = shlex.split(entry.replace("$RAY_ADDRESS", "10.0.0.1:6379"))
        assert words[0] == "boneseg"
        parsed(words[1:])


@pytest.mark.parametrize("document", MANIFESTS)
def test_containers_have_no_rights_and_ask_for_memory(document: Json) -> None:
    for containers in [*found(document, "containers"), *found(document, "initContainers")]:
        for container in containers:
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert container["image"] == f"registry.example/boneseg:{PROJECT['version']}"
    for pod in found(document, "template"):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] == 10001


def test_probes_are_answered_without_a_token_at_the_port_of_the_server(
    client: TestClient,
) -> None:
    (deployment,) = (
        manifest.values[0]
        for manifest in MANIFESTS
        if manifest.values[0]["metadata"]["name"] == "boneseg-serve"
        and manifest.values[0]["kind"] == "Deployment"
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert parsed(container["args"])["port"] == port["containerPort"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == port["name"]
        answer = client.get(asked["path"])
        assert (answer.status_code, answer.text) == (200, "ok"), probe
    assert client.get("/api/health").status_code == 401


def test_compose_starts_commands_of_the_program(client: TestClient) -> None:
    ours = {name: one for name, one in COMPOSE["services"].items() if "boneseg" in one["image"]}
    calls = {name: parsed(shlex.split(one["command"])) for name, one in ours.items()}
    assert calls.keys() == {"pacs", "serve"}
    assert urlsplit(str(calls["pacs"]["url"])).hostname in COMPOSE["services"]
    given = {f"/run/secrets/{name}" for name in COMPOSE["secrets"]}
    assert {str(calls["pacs"]["netrc"]), str(calls["serve"]["token_file"])} <= given
    health = urlsplit(COMPOSE["services"]["serve"]["healthcheck"]["test"][-1])
    assert health.port == calls["serve"]["port"]
    assert client.get(health.path).status_code == 200
    for service in COMPOSE["services"].values():
        used = [one.split(":")[0] for one in service.get("volumes", ())]
        assert set(used) <= COMPOSE["volumes"].keys()
        assert ":" in service["image"] or "boneseg" in service["image"]
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
    for secret in COMPOSE["secrets"].values():
        assert f"`{Path(secret['file']).name}`" in page
    build = COMPOSE["services"]["pacs"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_the_image_is_built_from_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line]
    for word, rest in steps:
        if word == "COPY" and not rest.startswith("--from"):
            assert all((ROOT / source).exists() for source in rest.split()[:-1])
        if word == "FROM":
            found = re.match(r"python:(\d+\.\d+)-", rest)
            assert found is not None
            assert f"Programming Language :: Python :: {found[1]}" in PROJECT["classifiers"]
    given = dict(steps)
    assert set(given["ARG"].removeprefix("EXTRAS=").split(",")) <= set(
        PROJECT["optional-dependencies"]
    )
    assert given["USER"].isdecimal() and int(given["USER"]) > 0
    (program,) = yaml.safe_load(given["ENTRYPOINT"])
    assert program in PROJECT["scripts"]
    ports = {parsed(["serve"])["port"], parsed(["node", "--to", "A@b:1"])["port"]}
    assert {int(port) for port in given["EXPOSE"].split()} == ports
