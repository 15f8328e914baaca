"""What must hold for each page there is, found in the application's own map so that new pages are not forgotten."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tests.doubles.admin_site import AdminSite
from webui.guard import PUBLIC

STATIC = {"static": {"filename": "site.css"}, "bootstrap.static": {"filename": "css/bootstrap.min.css"}}
VALUES = {"thumbprint": "sha256:" + "0" * 64, "domain": "acme.example", "form": "pem"}
"""Arguments of addresses; a new page with another argument fails here until its value is added."""


def rules(site: AdminSite) -> list[Rule]:
    return list(site.app.url_map.iter_rules())


def paths(site: AdminSite) -> Iterator[tuple[Rule, str, str]]:
    """Every rule with every method it answers, and an address that leads to it."""
    with site.app.test_request_context():
        urls = site.app.url_map.bind("localhost")
        for rule in rules(site):
            values = STATIC.get(rule.endpoint) or {name: VALUES[name] for name in rule.arguments}
            for method in sorted(rule.methods or ()):
                yield rule, method, urls.build(rule.endpoint, values, method=method)


def test_the_public_list_is_exactly_this_short() -> None:
    assert sorted(PUBLIC) == ["bootstrap.static", "health.healthz", "login.login", "static"]


def test_strangers_are_sent_to_the_login(site: AdminSite, visitor: FlaskClient) -> None:
    token = site.csrf_token(visitor, "/login")
    closed = 0
    for rule, method, path in paths(site):
        if rule.endpoint in PUBLIC:
            continue
        answer = visitor.open(path, method=method, data={"csrf_token": token} if method == "POST" else None)
        assert (answer.status_code, answer.headers.get("Location")) == (303, "/login"), (method, path)
        closed += 1
    assert closed > 10


def test_a_one_time_password_opens_nothing_but_its_replacement(site: AdminSite, visitor: FlaskClient) -> None:
    assert site.login(visitor, "ada", site.one_time_password).headers["Location"] == "/password"
    for rule, method, path in paths(site):
        if rule.endpoint in PUBLIC or rule.endpoint.startswith("login.") or method != "GET":
            continue
        answer = visitor.open(path, method=method)
        assert (answer.status_code, answer.headers.get("Location")) == (303, "/password"), path


def test_every_change_needs_its_csrf_token(site: AdminSite, admin: FlaskClient) -> None:
    foreign = site.csrf_token(site.client(), "/login")
    tried = 0
    for rule, method, path in paths(site):
        if method in ("GET", "HEAD", "OPTIONS"):
            continue
        for data in ({}, {"csrf_token": "x"}, {"csrf_token": foreign}):
            answer = admin.open(path, method=method, data=data)
            assert answer.status_code == 400, (rule.endpoint, method, data)
            assert "That did not arrive as expected" in answer.text
        tried += 1
    assert tried >= 3
    assert admin.get("/").status_code == 200, "the session outlives forged requests"


@pytest.mark.parametrize("origin", ["cross-site", "same-site"])
def test_forms_of_other_sites_are_refused_even_with_a_token(site: AdminSite, admin: FlaskClient, origin: str) -> None:
    answer = site.post(admin, "/logout", {}, form="/", headers={"Sec-Fetch-Site": origin})
    assert answer.status_code == 400
    assert admin.get("/").status_code == 200
    answer = site.post(admin, "/logout", {}, form="/", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.headers["Location"] == "/login"


def test_get_never_changes_anything(site: AdminSite) -> None:
    for rule in rules(site):
        if rule.endpoint not in PUBLIC:
            assert (rule.methods or set()) <= {"GET", "HEAD", "OPTIONS", "POST"}
    assert site.logged_in().get("/logout").status_code == 405


@pytest.mark.parametrize("behind_tls", [False, True])
def test_headers_on_every_answer(behind_tls: bool) -> None:
    site = AdminSite(behind_tls=behind_tls)
    client = site.logged_in()
    answers = [client.open(path, method=method, base_url=site.base_url) for _, method, path in paths(site)]
    answers += [client.get("/nowhere", base_url=site.base_url), client.delete("/queue", base_url=site.base_url)]
    assert {answer.status_code for answer in answers} >= {200, 400, 404, 405}
    for answer in answers:
        headers, path = answer.headers, answer.request.path
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy and "*" not in policy and "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert ("no-store" in headers.get("Cache-Control", "")) == ("static" not in path), path
        assert ("Strict-Transport-Security" in headers) == behind_tls
        assert "Server" not in headers and "X-Powered-By" not in headers
        answer.close()


def test_pages_carry_no_script_style_or_foreign_host(site: AdminSite, admin: FlaskClient) -> None:
    for _, method, path in paths(site):
        if method != "GET" or "static" in path:
            continue
        text = admin.get(path).text
        assert "<script" not in text and "<style" not in text, path
        assert " style=" not in text and " onclick=" not in text and "javascript:" not in text, path
        assert "//" not in text.replace("<!doctype html>", ""), f"{path} names another host"
