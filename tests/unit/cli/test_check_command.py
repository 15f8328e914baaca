"""`check`: each mistake is found, named by its key, and told apart from what is merely unusual."""

import http.server
import json
import re
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ime_gateway.app.preflight.settings_checks import public_part, route_host
from ime_gateway.settings.load import load_settings
from tests.pki import make_user

Edit = Callable[..., None]


@pytest.fixture
def edit(config: Path) -> Edit:
    """Replace text of gateway.toml; it must be there."""

    def change(*pairs: tuple[str, str]) -> None:
        text = config.read_text()
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new, 1)
        config.write_text(text)

    return change


@pytest.fixture
def findings(cli, config: Path) -> Callable[[], dict[str, tuple[str, str]]]:
    def look() -> dict[str, tuple[str, str]]:
        result = cli("check", "-c", config, "--json")
        answer = result.json
        assert set(answer) == {"ok", "findings"}
        levels = {finding["level"] for finding in answer["findings"]}
        assert answer["ok"] == ("error" not in levels) == (result.status == 0)
        worst: dict[str, tuple[str, str]] = {}
        for finding in answer["findings"]:
            if finding["key"] not in worst or finding["level"] == "error":
                worst[finding["key"]] = (finding["level"], finding["message"])
        return worst

    return look


def test_a_new_installation_is_sound(cli, config: Path, edit: Edit) -> None:
    edit((f'hostname = "{load_settings(config, {}).smtp.hostname}"', 'hostname = "gw.acme.example"'))
    result = cli("check", "-c", config, "--json")
    assert result.status == 0 and result.json["ok"] is True
    odd = {finding["key"] for finding in result.json["findings"] if finding["level"] != "ok"}
    assert odd == {"managed_domain", "root"}


def test_for_people(cli, config: Path) -> None:
    result = cli("check", "-c", config)
    assert result.status == 0 and "managed_domain" in result.out and "warning" in result.out and result.err == ""


def test_nothing_is_changed_by_looking(cli, config: Path) -> None:
    def content() -> list[object]:
        with closing(sqlite3.connect(config.parent / "gateway.db")) as database:
            dump = [row for row in database.iterdump() if "'write_check'" not in row]  # the proof that it writes
        return [dump, config.read_bytes(), (config.parent / "master.key").read_bytes()]

    before = content()
    cli("check", "-c", config)
    assert content() == before


ALLOW = 'allow = ["127.0.0.0/8"]'


@pytest.mark.parametrize(
    ("networks", "level"),
    [
        ("127.0.0.0/8", "ok"),
        ("10.1.0.0/16", "ok"),
        ("192.168.7.4/32", "ok"),
        ("fd00:1:2::/48", "ok"),
        ("10.0.0.0/8", "warning"),
        ("172.16.0.0/12", "warning"),
        ("fc00::/7", "warning"),
        ("0.0.0.0/0", "error"),
        ("0.0.0.0/1", "error"),
        ("203.0.114.0/24", "error"),
        ("8.8.8.8/32", "error"),
        ("::/0", "error"),
        ("::ffff:0:0/96", "error"),
        ("::ffff:8.8.8.0/120", "error"),
        ("2001:db9::/32", "error"),
        ('127.0.0.1/32", "8.8.8.8/32', "error"),
    ],
)
def test_who_may_connect_inside(edit: Edit, findings, networks: str, level: str) -> None:
    edit((ALLOW, f'allow = ["{networks}"]'))
    assert findings()["listener.internal.allow"][0] == level


def test_a_public_network_with_one_more_proof(edit: Edit, findings) -> None:
    edit((ALLOW, 'allow = ["8.8.8.0/24"]'), ('# require_header = ""', 'require_header = "X-Secret: hunter2"'))
    found = findings()
    assert found["listener.internal.allow"][0] == "ok"
    assert "hunter2" not in json.dumps(found)


def test_nobody_can_connect(edit: Edit, findings) -> None:
    edit((ALLOW, "allow = []"))
    level, message = findings()["listener.internal.allow"]
    assert level == "warning" and "nobody can connect" in message


def test_the_internet_may_be_open(findings) -> None:
    assert findings()["listener.internet.allow"] == ("ok", "from everybody")


@pytest.mark.parametrize(
    ("old", "new", "key", "level"),
    [
        (r'hostname = ".*"', 'hostname = "bad host"', "smtp.hostname", "error"),
        (r'hostname = ".*"', 'hostname = "localhost"', "smtp.hostname", "error"),
        (r'hostname = ".*"', 'hostname = "192.0.2.1"', "smtp.hostname", "error"),
        (r'hostname = ".*"', 'hostname = "gw"', "smtp.hostname", "warning"),
        (r'hostname = ".*"', 'hostname = "gw.acme.example"', "smtp.hostname", "ok"),
        ('address = "127.0.0.1"\n', 'address = "everywhere"\n', "listener.internal.address", "error"),
        ("# relay_senders = .*", 'relay_senders = ["nobody"]', "listener.internal.relay_senders", "error"),
        ("# default_route = .*", 'default_route = "smtp://bad_host!"', "delivery.default_route", "error"),
        ("# default_route = .*", 'default_route = "smtp://relay.example"', "delivery.default_route", "ok"),
        ("# default_route = .*", 'default_route = "smtp://[::1]:26"', "delivery.default_route", "ok"),
        ("# v1_address = .*", 'v1_address = "ime"', "ime.v1_address", "error"),
        ('role = "internal"', 'role = "internet"', "listener", "warning"),
    ],
)
def test_values_that_are_legal_and_wrong(config: Path, findings, old: str, new: str, key: str, level: str) -> None:
    text, count = re.subn(old, new, config.read_text(), count=1)
    assert count == 1
    config.write_text(text)
    assert findings()[key][0] == level


def test_relay_senders_that_are_fine(edit: Edit, findings) -> None:
    edit(("# relay_senders = []", 'relay_senders = ["scan@printer.example", "@legacy.example"]'))
    assert "listener.internal.relay_senders" not in findings()


def test_a_route_to_ourselves(edit: Edit, findings, free_port: int) -> None:
    edit(
        ("port = 0", f"port = {free_port}"),
        ('# default_route = "mx"', f'default_route = "smtp://localhost:{free_port}"'),
    )
    level, message = findings()["delivery.default_route"]
    assert level == "error" and "our own listener internal" in message


def test_a_wrong_file_is_told_line_by_line(cli, config: Path, edit: Edit) -> None:
    edit(("port = 0", 'port = "x"'), ("[smtp]", "[smtp]\nworker = 1"))
    result = cli("check", "-c", config, "--json")
    assert result.status == 1 and result.json["ok"] is False
    assert [finding["level"] for finding in result.json["findings"]] == ["error", "error"]
    assert all(re.search(r"gateway.toml, line \d+: ", finding["message"]) for finding in result.json["findings"])


def test_the_environment_counts(cli, config: Path, findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMEGW_SMTP__WORKERS", "many")
    assert findings()["gateway.toml"][1].startswith("environment variable IMEGW_SMTP__WORKERS: ")


def test_master_key(config: Path, findings) -> None:
    key = config.parent / "master.key"
    key.chmod(0o644)
    level, message = findings()["secrets.master_key_file"]
    assert level == "error" and "chmod 600" in message
    key.chmod(0o600)
    good = key.read_bytes()
    key.write_bytes(b"short")
    level, message = findings()["secrets.master_key_file"]
    assert level == "error" and "put your copy back" in message
    key.write_bytes(b"0" * 64)
    level, message = findings()["store.url"]
    assert level == "error" and "put your copy back" in message, "a key of another installation"
    key.write_bytes(good)
    assert findings()["store.url"][0] == "ok"
    key.unlink()
    level, message = findings()["secrets.master_key_file"]
    assert level == "error" and "put your copy back; a new key opens nothing" in message


def test_store(config: Path, findings) -> None:
    (config.parent / "gateway.db").unlink()
    assert findings()["store.url"][0] == "error"
    assert not (config.parent / "gateway.db").exists()
    (config.parent / "gateway.db").write_bytes(b"not a database" * 100)
    assert findings()["store.url"][0] == "error"


def test_a_server_that_does_not_answer_keeps_its_password(config: Path, edit: Edit, cli, free_port: int) -> None:
    edit(('url = "sqlite:///gateway.db"', f'url = "postgresql+psycopg://gw:hunter2@127.0.0.1:{free_port}/gw"'))
    result = cli("check", "-c", config, "--json")
    assert result.status == 1 and "hunter2" not in result.out + result.err
    assert {"store.url"} == {one["key"] for one in result.json["findings"] if one["level"] == "error"}


def test_ports(edit: Edit, findings, free_port: int) -> None:
    edit(("port = 0", f"port = {free_port}"))
    assert findings()["listener.internal.port"][0] == "ok"
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free_port))
        other.listen()
        level, message = findings()["listener.internal.port"]
        assert level == "error" and "in use" in message
    edit(('address = "127.0.0.1"\n', 'address = "203.0.113.77"\n'))
    assert findings()["listener.internal.port"][0] == "error"


def test_two_things_on_one_port(edit: Edit, findings, free_port: int) -> None:
    edit(("port = 0", f"port = {free_port}"), ('admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{free_port}"'))
    level, message = findings()["web.admin"]
    assert level == "error" and "listener.internal.port" in message


@pytest.fixture
def healthz() -> Iterator[Callable[[object], int]]:
    """A web server on a port of its own that answers /healthz as told."""
    servers: list[http.server.HTTPServer] = []

    def start(answer: object) -> int:
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Page)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_ports_that_this_gateway_holds(edit: Edit, findings, free_port: int, healthz) -> None:
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", free_port))
        ours.listen()
        web = healthz({"status": "ok", "checks": {}, "listeners": {"internal": free_port, "internet": 1}})
        edit(("port = 0", f"port = {free_port}"), ('admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{web}"'))
        found = findings()
        assert found["listener.internal.port"][0] == "ok" and "running" in found["listener.internal.port"][1]
        assert found["web.admin"][0] == "ok"


@pytest.mark.parametrize("answer", [{"listeners": {"other": 1}}, {"listeners": ["x"]}, {"status": "ok"}, "hello"])
def test_ports_that_something_else_holds(edit: Edit, findings, free_port: int, healthz, answer: object) -> None:
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", free_port))
        foreign.listen()
        edit(("port = 0", f"port = {free_port}"), ('admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{healthz(answer)}"'))
        found = findings()
        assert found["listener.internal.port"][0] == "error" and found["web.admin"][0] == "error"


TLS = (
    ('# tls = "off"', 'tls = "mandatory"'),
    ('# certificate = ""', 'certificate = "s.pem"'),
    ('# key = ""', 'key = "s.key"'),
)


def test_tls_files(config: Path, edit: Edit, findings, root) -> None:
    hostname = load_settings(config, {}).smtp.hostname
    edit((f'hostname = "{hostname}"', 'hostname = "gw.acme.example"'), *TLS)
    key, certificate = "listener.internal.key", "listener.internal.certificate"
    assert findings()[certificate][0] == findings()[key][0] == "error", "no such files"
    server, other = tls_server(root, "gw.acme.example"), tls_server(root, "gw.acme.example")
    server.write(config.parent, "s")
    (config.parent / "s.key").chmod(0o600)
    assert findings()[certificate][0] == "ok"
    (config.parent / "s.key").chmod(0o644)
    assert findings()[key][0] == "warning"
    (config.parent / "s.key").write_bytes(other.key_pem)
    assert findings()[key][0] == "error", "does not belong to the certificate"
    (config.parent / "s.key").write_bytes(b"nothing")
    assert findings()[key][0] == "error"


@pytest.mark.parametrize(
    ("virtue", "level", "word"),
    [
        ({"expired": True}, "warning", "expired"),
        ({"not_yet": True}, "error", "not valid before"),
        ({"days": 20}, "warning", "expires soon"),
        ({"name": "other.example"}, "warning", "does not name gw.acme.example"),
        ({"name": "*.acme.example"}, "ok", "valid until"),
    ],
)
def test_tls_certificates(
    config: Path, edit: Edit, findings, root, virtue: dict[str, object], level: str, word: str
) -> None:
    hostname = load_settings(config, {}).smtp.hostname
    edit((f'hostname = "{hostname}"', 'hostname = "gw.acme.example"'), *TLS)
    tls_server(root, **({"name": "gw.acme.example"} | virtue)).write(config.parent, "s")
    found = findings()["listener.internal.certificate"]
    assert found[0] == level and word in found[1]


def tls_server(root, name: str, days: int | None = None, **faults):
    from cryptography import x509

    from tests.pki import DAY, NOW

    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    end = {"not_after": NOW + days * DAY} if days else {}
    return make_user("x@acme.example", root, san=False, eku=None, extra=[(names, False)], **end, **faults)


def test_client_ca(config: Path, edit: Edit, findings, root) -> None:
    tls_server(root, "gw.acme.example").write(config.parent, "s")
    edit(*TLS, ('# client_ca = ""', 'client_ca = "ca.pem"'))
    assert findings()["listener.internal.client_ca"][0] == "error"
    (config.parent / "ca.pem").write_bytes(root.pem)
    assert findings()["listener.internal.client_ca"][0] == "ok"


def test_live_data(cli, config: Path, site: Path, findings, free_port: int, edit: Edit) -> None:
    assert cli("apply", site, "-c", config).status == 0
    assert findings()["managed_domain"] == ("ok", "acme.example") and "root" not in findings()
    edit(
        ("port = 0", f"port = {free_port}"),
        ('# v1_address = "ime@imepseudodomain.local"', 'v1_address = "ime@acme.example"'),
    )
    site.write_text(
        site.read_text().replace("127.0.0.1:9", f"127.0.0.1:{free_port}")
        + '[[partner_domain]]\nname = "p.example"\nencryption = "mandatory"\n'
        'route = "smtp://bad_host!"\nsmime_certificates = ["self.pem"]\n'
    )
    make_user("domain@p.example").write(site.parent, "self")
    assert cli("apply", site, "-c", config).status == 0
    found = findings()
    assert found["managed_domain.acme.example.deliver_to"][0] == "error", "a loop"
    assert found["partner_domain.p.example.route"][0] == "error"
    assert found["partner_domain.p.example.smime_certificates"][0] == "warning"
    assert "certificate-untrusted" in found["partner_domain.p.example.smime_certificates"][1]
    assert found["ime.v1_address"][0] == "error"


def test_routes_are_read() -> None:
    assert route_host("smtp://a.example") == ("a.example", 25)
    assert route_host("smtp://a.example:2525") == ("a.example", 2525)
    assert route_host("smtp://[::1]:26") == ("::1", 26)
    assert route_host("smtp://[::1]") == ("::1", 25)


def test_public_or_not() -> None:
    import ipaddress

    assert not public_part(ipaddress.ip_network("::ffff:10.0.0.0/104"))
    assert public_part(ipaddress.ip_network("::ffff:8.0.0.0/103"))


@pytest.mark.parametrize("certificates", ["", 'smime_certificates = ["self.pem"]\n'])
def test_a_partner_to_whom_nothing_can_go(cli, config: Path, site: Path, findings, certificates: str) -> None:
    make_user("domain@p.example").write(site.parent, "self")
    site.write_text('[[partner_domain]]\nname = "p.example"\nencryption = "mandatory"\n' + certificates)
    cli("apply", site, "-c", config)
    found = findings()
    level, message = found["partner_domain.p.example.smime_certificates"]
    assert level == "warning" and message.startswith("all mail to p.example will be refused")
    assert ("certificate-untrusted" if certificates else "no certificate is set") in message
    assert "partner_domain.p.example.route" not in found, "no route of its own is no mistake"
    last = cli("domain", "list", "-c", config).out.splitlines()[-1]
    assert last.rstrip().endswith("0 of 1" if certificates else "   0")


def test_the_portal_is_not_there_yet_but_its_address_serves_lists(edit: Edit, findings) -> None:
    found = findings()
    assert "web.portal_url" not in found and found["web.portal"][0] == "ok"
    edit(('# portal_url = ""', 'portal_url = "https://secure.acme.example:8443/x"'))
    level, message = findings()["web.portal_url"]
    assert level == "warning" and "http://secure.acme.example/pki/" in message


def test_lists_that_nobody_serves(edit: Edit, findings) -> None:
    edit(('portal = "127.0.0.1:0"', 'portal = ""'))
    assert findings()["web.portal"] == ("ok", "off")
    edit(('# pki_url = ""', 'pki_url = "http://pki.acme.example"'))
    level, message = findings()["web.portal"]
    assert level == "error" and "nothing answers at http://pki.acme.example/pki/" in message


def test_the_portal_on_the_port_of_another(edit: Edit, findings, free_port: int) -> None:
    edit(
        ('portal = "127.0.0.1:0"', f'portal = "127.0.0.1:{free_port}"'),
        ('admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{free_port}"'),
    )
    assert findings()["web.portal"] == ("error", f"port {free_port} of 127.0.0.1 is given to web.admin already")
