"""IME addresses in SITE.toml: one canonical form, nobody's mailbox, one owner; nothing half given."""

from pathlib import Path

import pytest

from ime_gateway.settings.load import WrongFileError, load_site
from ime_gateway.settings.site import ManagedDomain, ime_conflict

HEAD = '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\n'
ADDRESS = 'ime_address = "dca@ime.acme.example"\n'


def loaded(folder: Path, text: str):
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return load_site(path).site


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("DCA@IME.Acme.Example", "dca@ime.acme.example"),
        (" dca@ime.acme.example. ", "dca@ime.acme.example"),
        ("top.secret+1@ime.bücher.example", "top.secret+1@ime.xn--bcher-kva.example"),
        ("", ""),
    ],
)
def test_one_form(tmp_path: Path, written: str, stored: str) -> None:
    (domain,) = loaded(tmp_path, f'{HEAD}ime_address = "{written}"\n').managed_domain
    assert domain.ime_address == stored
    assert domain.ime_domain == stored.rpartition("@")[2]


@pytest.mark.parametrize(
    "written", ["ime.acme.example", "@ime.acme.example", "a b@ime.acme.example", "dca@", "dca@ime", "a@*.x.example",
                "<dca@ime.acme.example>", "ä@ime.acme.example", "a..b@ime.acme.example", "x" * 65 + "@ime.a.example"]
)  # fmt: skip
def test_what_is_no_address(tmp_path: Path, written: str) -> None:
    with pytest.raises(WrongFileError, match=r"line 4: managed_domain\[1\].ime_address: "):
        loaded(tmp_path, f'{HEAD}ime_address = "{written}"\n')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD + 'ime_key = "dca.p12"\n', r"line 4: .*ime_key needs ime_address"),
        (HEAD + 'ime_signers = "directory"\n', r"line 4: .*ime_signers needs ime_address"),
        (HEAD + ADDRESS + 'ime_key_password = "x"\n', r"line 5: .*ime_key_password needs the file"),
        (HEAD + ADDRESS + 'ime_signers = "anybody"\n', r"line 5: "),
        (HEAD + 'ime_address = "dca@acme.example"\n', r"line 4: .*must lie outside acme.example"),
        (
            HEAD + ADDRESS + '[[managed_domain]]\nname = "ime.acme.example"\ndeliver_to = "mx"\n',
            r"ime.acme.example is a domain of its own here",
        ),
        (HEAD + ADDRESS + '[[partner_domain]]\nname = "ime.acme.example"\n', r"is a domain of its own here"),
        (
            HEAD + ADDRESS + HEAD.replace("acme", "other") + 'ime_address = "memo@IME.acme.example"\n',
            r"acme.example uses ime.acme.example already",
        ),
    ],
)
def test_what_stands_in_the_way(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(WrongFileError, match=sentence):
        loaded(tmp_path, text)


def test_secrets_neither_rest_nor_show() -> None:
    domain = ManagedDomain(
        name="acme.example", deliver_to="mx", ime_address="dca@ime.acme.example", ime_key="dca.p12",
        ime_key_password="swordfish",
    )  # fmt: skip
    assert "swordfish" not in repr(domain)
    resting = domain.at_rest()
    assert "swordfish" not in resting.model_dump_json() and "dca.p12" not in resting.model_dump_json()
    assert resting.ime_address == "dca@ime.acme.example"
    assert resting.at_rest() == resting


def test_what_version_1_stored_is_read() -> None:
    text = (
        '{"name":"acme.example","deliver_to":"mx","return_to":"","internal_certificates":[],"ime_address":"",'
        '"ime_key":"","ime_signers":"confirm","domain_key":"","domain_pgp_key":"","exchange_address":"",'
        '"sign_outgoing":"never"}'
    )
    read = ManagedDomain.model_validate_json(text).at_rest()
    assert read == ManagedDomain(name="acme.example", deliver_to="mx")


def test_neighbours_do_not_conflict() -> None:
    one = ManagedDomain(name="a.example", deliver_to="mx", ime_address="dca@ime.a.example")
    other = ManagedDomain(name="b.example", deliver_to="mx", ime_address="dca@ime.b.example")
    assert ime_conflict([one, other], {"a.example", "b.example"}) == ""
