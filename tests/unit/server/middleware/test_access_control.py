"""Access control: this host, with the token, and no other site."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from tests.support.lightbox import FOOT, HERE, post

# -- who may ask ----------------------------------------------------------------------------------


def test_other_hosts_and_other_sites_are_refused(client: TestClient) -> None:
    assert client.get("/api/health", headers={"host": "films.example"}).status_code == 421
    assert client.get("/api/health", headers={"host": "localhost:8000"}).status_code == 200
    evil = {"origin": "http://films.example"}
    assert post(client, "foot.png", FOOT.read_bytes(), **evil).status_code == 403
    for broken in ("http://[", "null", ""):
        assert client.post("/api/train/stop", headers={"origin": broken}).status_code == 403
    assert client.get("/api/health", headers={"host": "["}).status_code == 421
    cross = {"sec-fetch-site": "cross-site"}
    assert client.post("/api/train", json={"minutes": 1}, headers=cross).status_code == 403
    ours = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert post(client, "foot.png", FOOT.read_bytes(), **ours).status_code == 200


def test_every_response_has_the_security_policy(client: TestClient) -> None:
    for path in ("/", "/api", "/static/main.js", "/api/health", "/nowhere", "/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/api/films/..%2f..%2fetc%2fpasswd/pixels",
        "/api/films/../../etc/passwd",
        "/api/films/000000000000/mask",
    ],
)
def test_no_path_leads_out_of_the_folder(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_token_is_required_if_one_is_set(box: LightBox) -> None:
    app = create_app(box, token="s3cret")
    client = TestClient(app, base_url="http://films.example", follow_redirects=False)
    assert client.get("/api/health").status_code == 401
    assert client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    form = client.get("/", headers={"accept": "text/html"})  # as a browser asks
    assert form.status_code == 401 and '<input type="password" name="token"' in form.text
    assert "error" in client.get("/api/films", headers={"accept": "text/html"}).json()
    bearer = {"authorization": "Bearer s3cret"}
    assert client.get("/api/health", headers=bearer).status_code == 200
    welcome = client.get("/?token=s3cret")
    assert welcome.status_code == 303
    assert "HttpOnly" in welcome.headers["set-cookie"]
    assert "SameSite=Strict" in welcome.headers["set-cookie"]
    assert client.get("/").status_code == 200  # by the cookie


@pytest.mark.parametrize("theirs", ["a/b=1", "x@y=1", 'k={"a": 1}', 'k="un', "k=[1,2]", "k", ""])
def test_cookies_of_other_programs_do_not_prevent_access(box: LightBox, theirs: str) -> None:
    client = TestClient(create_app(box, token="s3cret"), base_url="http://films.example")
    for token, status in (("s3cret", 200), ("another", 401)):
        cookie = {"cookie": f"{theirs}; boneseg-token={token}; z=1"}
        assert client.get("/api/health", headers=cookie).status_code == status
    assert client.get("/api/health", headers={"cookie": theirs}).status_code == 401


def test_the_form_sends_the_token_outside_the_address(box: LightBox) -> None:
    client = TestClient(create_app(box, token="s3&ret"), base_url="https://films.example")
    assert (
        '<form action="/" method="post">' in client.get("/", headers={"accept": "text/html"}).text
    )
    sent = {"origin": "null", "accept": "text/html"}  # as browsers send it without a referrer
    for wrong in ("other", "", "s3&ret" + 9000 * "x"):
        refused = client.post("/", data={"token": wrong}, headers=sent)
        assert refused.status_code == 401 and "<form" in refused.text
    welcome = client.post("/", data={"token": "s3&ret"}, headers=sent, follow_redirects=False)
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/")
    assert client.get("/api/health").status_code == 200  # by the cookie
    assert client.post("/", headers=sent).status_code == 403  # any other is as before


def test_probes_need_neither_token_nor_host_name(box: LightBox) -> None:
    """Kubernetes asks by the address of the pod. They say nothing about films or versions."""
    app = create_app(box, token="s3cret")
    client = TestClient(app, base_url="http://10.1.2.3:8000")
    for path in ("/livez", "/readyz"):
        assert (client.get(path).status_code, client.get(path).text) == (200, "ok")
        assert client.post(path).status_code == 401
    assert client.get("/livez/../api/health").status_code == 401
