"""The file that `init` writes: complete, documented, loadable, and true to the models."""

import re
import tomllib
from pathlib import Path

from ime_gateway.settings.annotate import annotated_gateway_toml
from ime_gateway.settings.load import load_settings
from ime_gateway.settings.model import Settings

TEXT = annotated_gateway_toml(hostname='quote".example', store_url="sqlite:///gateway.db")


def test_it_loads(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(TEXT)
    settings = load_settings(path, {})
    assert settings.smtp.hostname == 'quote".example'
    internal, internet = settings.listener
    assert (internal.role, internet.role) == ("internal", "internet")
    assert all(network.is_loopback for network in internal.allow) and internal.allow
    assert {listener.address for listener in settings.listener} == {"127.0.0.1"}


def test_commented_lines_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(TEXT)
    before = load_settings(path, {})
    in_force = TEXT.partition("# [[ldap]]")[0]  # of that there is an example only (test_ldap_settings)
    path.write_text(re.sub(r"^# ([a-z_0-9]+ = )", r"\1", in_force, flags=re.MULTILINE))
    assert len(tomllib.loads(path.read_text())["smtp"]) == len(Settings.model_fields["smtp"].annotation.model_fields)
    assert load_settings(path, {}) == before


def test_every_key_has_its_words() -> None:
    lines = TEXT.splitlines()
    second_listener = lines.index("[[listener]]", lines.index("[[listener]]") + 1)
    for number, line in enumerate(lines):
        explained = not second_listener <= number < lines.index("[delivery]")
        if explained and re.match(r"(# )?[a-z_0-9]+ = |\[", line):
            assert lines[number - 1].startswith("# ") and " = " not in lines[number - 1], line
