"""The files of config/: each loads, names every setting, explains each, and carries no secret."""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel

from ime_gateway.admin.site_file import read_site
from ime_gateway.app.cli.main import run
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.keys.usable import Anchors, judge
from ime_gateway.mail.message import parse_message
from ime_gateway.settings.annotate import annotated_gateway_toml
from ime_gateway.settings.load import load_settings, load_site
from ime_gateway.settings.site import Site

CONFIG = Path(__file__).resolve().parents[3] / "config"
SAMPLES = CONFIG / "samples"
KEY = re.compile(r"^(?:# )?([a-z_0-9]+) = (.+)$")
HEADER = re.compile(r"^(?:# )?\[+([a-z_.]+)\]+$")


def keys_of(path: Path) -> set[str]:
    """`table.key` of every key in force or commented out."""
    table, found = "", set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if header := HEADER.match(line):
            table = header.group(1)
        elif key := KEY.match(line):
            found.add(f"{table}.{key.group(1)}")
    return found


def settings_of(model: type[BaseModel]) -> set[str]:
    """`table.key` of every setting of a model of a whole file."""
    found = set()

    def walk(section: type[BaseModel], table: str) -> None:
        for name, field in section.model_fields.items():
            annotation = get_args(field.annotation)[0] if get_origin(field.annotation) is tuple else field.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                walk(annotation, f"{table}.{name}".removeprefix("."))
            elif table:
                found.add(f"{table}.{name}")

    walk(model, "")
    return found


def test_gateway_toml_is_what_init_writes() -> None:
    text = (CONFIG / "gateway.toml").read_text(encoding="utf-8")
    assert text == annotated_gateway_toml(hostname="gw.acme.example", store_url="sqlite:///gateway.db")
    settings = load_settings(CONFIG / "gateway.toml", {})
    assert keys_of(CONFIG / "gateway.toml") == settings_of(type(settings))


def test_site_toml_names_every_setting() -> None:
    load_site(CONFIG / "site.toml")
    assert keys_of(CONFIG / "site.toml") == settings_of(Site)
    text = (CONFIG / "site.toml").read_text(encoding="utf-8")
    assert {"[[pgp_key]]", "[[tls_profile]]"} <= set(re.findall(r"\[\[\w+\]\]", text))


def test_site_toml_explains_each_table_and_key_that_acts() -> None:
    lines = (CONFIG / "site.toml").read_text(encoding="utf-8").splitlines()
    explained = re.compile(r"^# .*[.:;)]$")
    for number, line in enumerate(lines):
        if KEY.match(line) or HEADER.match(line):
            before = number - 1
            while KEY.match(lines[before]) or HEADER.match(lines[before]):
                before -= 1
            assert explained.match(lines[before]) or not lines[before], f"line {number + 1}: {line}"


def test_commented_defaults_of_site_toml_are_the_defaults(tmp_path: Path) -> None:
    text = (CONFIG / "site.toml").read_text(encoding="utf-8")
    (tmp_path / "site.toml").write_text(
        re.sub(r"^# ([a-z_]+ = )", r"\1", text.split("# [[trust]]")[0], flags=re.MULTILINE)
        .replace('password_file = "anna.password"\n', "")
        .replace('ime_key_password_file = "ime.password"\n', "")
    )
    assert load_site(tmp_path / "site.toml").site == load_site(CONFIG / "site.toml").site


def test_the_first_minute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three commands, no server."""
    shutil.copytree(CONFIG, tmp_path / "config")
    gateway = str(tmp_path / "gw" / "gateway.toml")
    mail = str(tmp_path / "config/samples/{}.eml")

    def command(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            run(arguments)
        captured = capsys.readouterr()
        assert not ended.value.code, captured.err
        return captured.out

    command("init", str(tmp_path / "gw"))
    assert "note:" not in command("apply", str(tmp_path / "config/site.toml"), "-c", gateway)
    common = ("--listener", "internal", "--from", "anna@acme.example", "-c", gateway, "--json")

    def explained(name: str, to: str) -> tuple[str, list[tuple[str, str, bool, str, str]]]:
        import json

        answer = json.loads(command("explain", mail.format(name), "--to", to, *common))
        assert answer["reply"] is None
        rows = [
            (one["address"], one["copy"], one["blind"], one["protection"], one["reason"])
            for one in answer["recipients"]
        ]
        return answer["decision"], rows

    assert explained("ime1-to-three", "ime@imepseudodomain.local") == ("deliver", [
        ("bob@acme.example", "recipient", False, "smime-personal", "personal-certificate"),
        ("carol@other.example", "recipient", False, "smime-personal", "personal-certificate"),
        ("dave@partner.example", "recipient", True, "smime-domain", "domain-certificate"),
        ("anna@acme.example", "sent", True, "smime-personal", "personal-certificate"),
    ])  # fmt: skip
    assert explained("to-partner", "dave@partner.example") == (
        "deliver", [("dave@partner.example", "recipient", False, "smime-domain", "domain-certificate")],
    )  # fmt: skip
    assert explained("plain-outgoing", "erin@elsewhere.example") == (
        "deliver", [("erin@elsewhere.example", "recipient", False, "none", "not-required")],
    )  # fmt: skip


def test_sample_certificates_will_last_and_are_public() -> None:
    contents = read_site(load_site(CONFIG / "site.toml"), Path.read_bytes, {})
    anchors = Anchors(contents.roots)
    in_2055 = 2_682_374_400.0
    for arrival in contents.people:
        assert judge(arrival.certificate, anchors, in_2055, "personal").usable
        assert arrival.private_key is None
    ((_, domain),) = contents.partners
    assert all(judge(certificate, anchors, in_2055, "domain").usable for certificate in domain)
    used = {one["file"] for one in tomllib.loads((CONFIG / "site.toml").read_text())["certificate"]}
    present = {f"samples/{path.name}" for path in SAMPLES.glob("*.pem")}
    assert present == used | {"samples/root.pem", "samples/partner-domain.pem"}
    for path in CONFIG.rglob("*"):
        assert path.is_dir() or b"PRIVATE KEY" not in path.read_bytes(), path
    for path in SAMPLES.glob("*.pem"):
        assert not read_bundle(path.read_bytes(), None).private_keys


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.eml")), ids=lambda path: path.name)
def test_sample_mails_are_mail(path: Path) -> None:
    message = parse_message(path.read_bytes().replace(b"\n", b"\r\n"))
    for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"):
        assert len(message.headers.all(name)) == 1


def test_three_sample_mails() -> None:
    assert len(list(SAMPLES.glob("*.eml"))) == 3


@pytest.fixture(scope="module")
def unit() -> configparser.RawConfigParser:
    class Repeated(dict):
        """systemd lets a key stand several times; the values are joined."""

        def __setitem__(self, key: str, value: object) -> None:
            if isinstance(value, list) and key in self and isinstance(self[key], list):
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    parser = configparser.RawConfigParser(dict_type=Repeated, strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(CONFIG / "ime-gateway.service", encoding="utf-8")
    return parser


def test_the_unit_calls_commands_that_exist(unit: configparser.RawConfigParser) -> None:
    service = unit["Service"]
    assert service["ExecStart"].split()[1:] == ["serve"] and service["ExecStartPre"].split()[1:] == ["check"]
    assert service["Environment"].startswith("IMEGW_CONFIG=")
    assert service["ExecReload"].split()[1:] == ["-HUP", "$MAINPID"]
    assert int(service["TimeoutStopSec"]) > 60, "longer than the gateway drains"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("User", "ime-gateway"), ("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"), ("PrivateDevices", "yes"), ("UMask", "0077"), ("LimitCORE", "0"),
        ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"), ("AmbientCapabilities", "CAP_NET_BIND_SERVICE"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"), ("Restart", "always"), ("StateDirectoryMode", "0700"),
        ("RestrictNamespaces", "yes"), ("LockPersonality", "yes"), ("SystemCallArchitectures", "native"),
    ],
)  # fmt: skip
def test_the_unit_is_hardened(unit: configparser.RawConfigParser, key: str, value: str) -> None:
    assert unit["Service"][key] == value


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (CONFIG / "ime-gateway.service").read_text()
    true = shutil.which("true")
    (tmp_path / "ime-gateway.service").write_text(text.replace("/opt/ime-gateway/.venv/bin/ime-gateway", str(true)))
    checked = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", tmp_path / "ime-gateway.service"], capture_output=True, text=True
    )
    ours = [line for line in checked.stderr.splitlines() if "ime-gateway.service" in line]
    assert ours == [], checked.stderr
