"""The door: who comes in, how long a session lasts, what guessing costs, what strangers can learn."""

from threading import Thread

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ime_gateway.base.errors import UserError
from tests.doubles.admin_site import PASSWORD, AdminSite

NEW = "seven quiet herons at dusk"


def cookie(client: FlaskClient, name: str = "session") -> str:
    found = client.get_cookie(name)
    return found.value if found else ""


def test_from_the_one_time_password_to_the_overview(site: AdminSite, visitor: FlaskClient) -> None:
    assert visitor.get("/").headers["Location"] == "/login"
    assert site.login(visitor, " ADA ", site.one_time_password).headers["Location"] == "/password"
    answer = site.post(visitor, "/password", {"new": NEW, "again": NEW}, form="/password")
    assert answer.headers["Location"] == "/"
    assert "Your new password is set." in visitor.get("/").text
    assert site.login(site.client(), "ada", site.one_time_password).status_code == 403
    assert site.login(site.client(), "ada", NEW).headers["Location"] == "/"
    assert ("ada", "password-changed") in _audit(site)


def _audit(site: AdminSite) -> list[tuple[str, str]]:
    with site.registry.transaction(write=False) as live:
        return [(line.actor, line.action) for line in live.audit_lines()]


@pytest.mark.parametrize(
    ("new", "again", "sentence"),
    [
        ("brief-pw", "brief-pw", "too short"),
        (NEW, NEW + "!", "differ"),
        ("password1234", "password1234", "easy to guess"),
        ("adaadaadaada1", "adaadaadaada1", "easy to guess"),
        ("x" * 300, "x" * 300, "too long"),
    ],
)
def test_weak_passwords_are_refused_with_advice(
    site: AdminSite, visitor: FlaskClient, new: str, again: str, sentence: str
) -> None:
    site.login(visitor, "ada", site.one_time_password)
    answer = site.post(visitor, "/password", {"new": new, "again": again}, form="/password")
    assert answer.status_code == 200
    assert sentence in answer.text
    assert new not in answer.text
    assert visitor.get("/").headers["Location"] == "/password"


def test_the_one_time_password_cannot_be_kept(site: AdminSite, visitor: FlaskClient) -> None:
    site.login(visitor, "ada", site.one_time_password)
    same = {"new": site.one_time_password, "again": site.one_time_password}
    assert "choose another one" in site.post(visitor, "/password", same, form="/password").text


def test_changing_a_password_later_needs_the_current_one(site: AdminSite, admin: FlaskClient) -> None:
    wrong = site.post(admin, "/password", {"current": "x", "new": NEW, "again": NEW}, form="/password")
    assert "The current password is not right." in wrong.text
    missing = site.post(admin, "/password", {"new": NEW, "again": NEW}, form="/password")
    assert "The current password is not right." in missing.text
    right = site.post(admin, "/password", {"current": PASSWORD, "new": NEW, "again": NEW}, form="/password")
    assert right.headers["Location"] == "/"


def test_a_new_password_ends_all_other_sessions(site: AdminSite, admin: FlaskClient) -> None:
    other = site.client()
    site.login(other, "ada", PASSWORD)
    assert other.get("/").status_code == 200
    site.post(admin, "/password", {"current": PASSWORD, "new": NEW, "again": NEW}, form="/password")
    assert admin.get("/").status_code == 200
    assert other.get("/").headers["Location"] == "/login"


def test_a_reset_or_deleted_account_ends_its_sessions(site: AdminSite, admin: FlaskClient) -> None:
    site.accounts.reset("ada")
    assert admin.get("/").headers["Location"] == "/login"
    again = site.logged_in()
    site.registry.delete_admin("ada")
    assert again.get("/").headers["Location"] == "/login"


def test_login_begins_a_new_session(site: AdminSite, visitor: FlaskClient) -> None:
    """Session fixation: a cookie that was planted before the login is worth nothing after it."""
    site.choose_password()
    planted_token = site.csrf_token(visitor, "/login")
    planted = cookie(visitor)
    visitor.post("/login", data={"name": "ada", "password": PASSWORD, "csrf_token": planted_token})
    assert cookie(visitor) not in ("", planted)
    attacker = site.client()
    attacker.set_cookie("session", planted)
    assert attacker.get("/").headers["Location"] == "/login"
    assert visitor.post("/logout", data={"csrf_token": planted_token}).status_code == 400, "the old token is dead too"


def test_logging_in_twice_leaves_one_session(site: AdminSite, admin: FlaskClient) -> None:
    first = cookie(admin)
    token = site.csrf_token(admin, "/")
    admin.post("/login", data={"name": "ada", "password": PASSWORD, "csrf_token": token})
    thief = site.client()
    thief.set_cookie("session", first)
    assert thief.get("/").headers["Location"] == "/login"


def test_logout_takes_the_session_back_from_whoever_copied_it(site: AdminSite, admin: FlaskClient) -> None:
    stolen = cookie(admin)
    site.post(admin, "/logout", {}, form="/")
    assert cookie(admin) == ""
    thief = site.client()
    thief.set_cookie("session", stolen)
    assert thief.get("/").headers["Location"] == "/login"


def test_a_changed_cookie_is_nothing(site: AdminSite, admin: FlaskClient) -> None:
    value = cookie(admin)
    admin.set_cookie("session", ("A" if value[5] != "A" else "B").join((value[:5], value[6:])))
    assert admin.get("/").headers["Location"] == "/login"


def test_idle_and_long_sessions_end(site: AdminSite, admin: FlaskClient) -> None:
    site.clock.moment += 29 * 60
    assert admin.get("/").status_code == 200
    site.clock.moment += 31 * 60
    assert admin.get("/").headers["Location"] == "/login"
    assert site.login(admin, "ada", PASSWORD).headers["Location"] == "/"
    for _ in range(23):
        site.clock.moment += 29 * 60
        assert admin.get("/").status_code == 200
    site.clock.moment += 60 * 60 - 1
    assert admin.get("/").headers["Location"] == "/login"


def test_a_session_in_use_ends_after_twelve_hours(site: AdminSite, admin: FlaskClient) -> None:
    codes = []
    for _ in range(12 * 6 + 1):
        codes.append(admin.get("/").status_code)
        site.clock.moment += 10 * 60
    assert codes == [200] * (12 * 6) + [303]


def test_cookies_under_tls_and_without() -> None:
    for behind_tls, name in ((False, "session"), (True, "__Host-session")):
        site = AdminSite(behind_tls=behind_tls)
        answer = site.client().get("/login", base_url=site.base_url)
        (line,) = answer.headers.getlist("Set-Cookie")
        parts = [part.strip() for part in line.split(";")]
        assert parts[0].startswith(f"{name}=")
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(parts)
        assert ("Secure" in parts) == behind_tls
        assert not any(part.startswith("Domain") for part in parts)


def test_login_works_under_tls() -> None:
    site = AdminSite(behind_tls=True)
    assert site.logged_in().get("/", base_url=site.base_url).status_code == 200


def test_unknown_names_and_wrong_passwords_look_the_same(site: AdminSite) -> None:
    def answer(name: str) -> TestResponse:
        return site.login(site.client(), name, "wrong password here")

    known, unknown = answer("ada"), answer("nobody")
    assert known.status_code == unknown.status_code == 403
    strip = [_without_token(one.text) for one in (known, unknown)]
    assert strip[0] == strip[1]
    assert "Name and password do not fit together." in known.text
    assert dict(known.headers).keys() == dict(unknown.headers).keys()


def _without_token(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "csrf_token" not in line)


def test_unknown_names_cost_as_much_work(site: AdminSite, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    class Counting:
        def verify(self, password_hash: str, password: str) -> bool:
            checked.append(password_hash.rpartition("$")[0].rpartition("$")[0])
            return False

    monkeypatch.setattr(site.accounts, "_hasher", Counting())
    site.accounts.login("ada", "x")
    site.accounts.login("nobody", "x")
    assert len(checked) == 2
    assert checked[0] == checked[1], "same algorithm, same parameters"


def test_five_failures_close_the_door_for_that_name(site: AdminSite) -> None:
    site.choose_password()
    client = site.client()
    assert [site.login(client, "ada", "wrong").status_code for _ in range(6)] == [403] * 5 + [429]
    right = site.login(client, "ADA ", PASSWORD)
    assert right.status_code == 429, "even the right password has to wait"
    assert "Too many attempts" in right.text
    assert site.login(site.client(), "ada", PASSWORD).status_code == 429, "a new cookie does not help"
    elsewhere = {"environ_base": {"REMOTE_ADDR": "127.0.0.9"}}
    assert site.login(site.client(), "ada", PASSWORD, **elsewhere).status_code == 303


def test_forwarded_addresses_are_not_believed(site: AdminSite) -> None:
    codes = [
        site.login(site.client(), "ada", "wrong", headers={"X-Forwarded-For": f"127.0.1.{n}"}).status_code
        for n in range(6)
    ]
    assert codes[-1] == 429


def test_ipv6_is_counted_by_network(site: AdminSite) -> None:
    def at(address: str) -> int:
        return site.login(site.client(), "ada", "wrong", environ_base={"REMOTE_ADDR": address}).status_code

    assert [at(f"fd00::{n}") for n in range(1, 7)] == [403] * 5 + [429]
    assert at("fd00:0:0:1::1") == 403
    assert at("fe80::1%eth0") == 403


def test_ipv4_in_ipv6_clothes_is_counted_as_itself(site: AdminSite) -> None:
    """A socket that serves both families shows all of IPv4 as ::ffff:0:0/96, which is one /64."""

    def at(address: str) -> int:
        return site.login(site.client(), "ada", "wrong", environ_base={"REMOTE_ADDR": address}).status_code

    assert [at(address) for address in ["::ffff:127.0.0.2", "127.0.0.2"] * 3] == [403] * 5 + [429]
    assert at("::ffff:127.0.0.3") == 403


def test_one_password_on_many_names_is_guessing_too(site: AdminSite) -> None:
    client = site.client()
    codes = [site.login(client, f"name{n}", "Spring2026!").status_code for n in range(31)]
    assert codes == [403] * 30 + [429]


def test_success_is_not_a_failure(site: AdminSite) -> None:
    site.choose_password()
    assert [site.login(site.client(), "ada", PASSWORD).status_code for _ in range(40)] == [303] * 40


def test_guessing_the_current_password_is_throttled_too(site: AdminSite, admin: FlaskClient) -> None:
    def guess() -> int:
        return site.post(admin, "/password", {"current": "x", "new": NEW, "again": NEW}, form="/password").status_code

    assert [guess() for _ in range(6)] == [200] * 5 + [429]


def test_huge_forms_are_refused(site: AdminSite, visitor: FlaskClient) -> None:
    token = site.csrf_token(visitor, "/login")
    data = {"csrf_token": token, "name": "ada", "password": "x" * 100_000}
    assert visitor.post("/login", data=data).status_code == 413


def test_names_of_new_accounts(site: AdminSite) -> None:
    with pytest.raises(UserError, match="already"):
        site.accounts.create("Ada")
    for name in ("", "-x", "a b", "<script>", "x" * 65, "a\nb"):
        with pytest.raises(UserError, match="letters"):
            site.accounts.create(name)
    with pytest.raises(UserError, match="no account"):
        site.accounts.reset("nobody")


def test_the_log_holds_no_password_and_no_typed_name(site: AdminSite, capsys: pytest.CaptureFixture[str]) -> None:
    client = site.client()
    site.login(client, "my-password-in-the-wrong-field", "guess-1234567")
    site.login(client, "ada", site.one_time_password)
    printed = "".join(capsys.readouterr())
    assert "web-login-refused" in printed and "web-login " in printed
    assert "my-password-in-the-wrong-field" not in printed
    assert "guess-1234567" not in printed and site.one_time_password not in printed


def test_many_logins_at_once_keep_their_sessions_apart(site: AdminSite) -> None:
    site.choose_password()
    clients = [site.client() for _ in range(8)]
    threads = [Thread(target=site.login, args=(client, "ada", PASSWORD)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [client.get("/").status_code for client in clients] == [200] * 8
    assert len({cookie(client) for client in clients}) == 8
