"""The scripts of the Exchange kit, taken apart by a reader of PowerShell: syntax, every parameter, and their promises.

Promises: -WhatIf changes nothing, what others made stays, a second run finds what the first made, the roll-back
removes what was made and nothing else, and no value becomes code.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import ime_gateway
from ime_gateway.admin.exchange_kit.exchange_online import exchange_online
from ime_gateway.admin.exchange_kit.facts import ImeAddress, KitFacts
from ime_gateway.admin.exchange_kit.header_lists import FROM_OUTSIDE, TO_OUTSIDE, TRACE
from ime_gateway.admin.exchange_kit.on_premises import on_premises
from ime_gateway.admin.exchange_kit.powershell import quoted, remark, script
from ime_gateway.admin.exchange_kit.remote_domain_names import remote_domain_name
from ime_gateway.admin.exchange_kit.roll_back import roll_back_on_premises, roll_back_online
from ime_gateway.admin.exchange_kit.rules_section import REFUSAL
from ime_gateway.admin.exchange_kit.script_head import MARK, PREFIX
from ime_gateway.base.errors import UserError
from ime_gateway.ime.endorsement import NEW_SIGNER_HEADER
from ime_gateway.mail.received import trace_field
from tests.powershell import Command, Script, Where, read

ADDRESS = "domain-confidentiality-authority@ime.acme.example"
CONTACT = {
    "Address": ADDRESS,
    "DisplayName": "_IME domain-confidentiality-authority",
    "Name": "_IME domain-confidentiality-authority",
    "Alias": "ime-ime-acme-example-domain-confidentiality-authority",
}
FACTS = KitFacts(
    made_at="2026-11-23T10:00:00Z",
    name="gw.acme.example",
    addresses=("10.20.0.5", "81.2.69.142"),
    port=25,
    max_bytes=104_857_600,
    managed=("acme.example", "branch.example"),
    v1_address="ime@imepseudodomain.local",
    ime_addresses=(ImeAddress("acme.example", ADDRESS),),
    inside_ports=(10026,),
    outside_ports=(25,),
    secret_header="X-Acme-Proof",
    registry_key="",
    test_sender="ime-test-1@acme.example",
    test_recipient="ime-test-2@acme.example",
    notes=(),
)
PLAIN = replace(FACTS, ime_addresses=(), inside_ports=(), secret_header="")
"""IME 1.0 only, nothing that may be left out."""
HOSTILE = (
    "'; Remove-Mailbox * #",
    "\u2019; Remove-Mailbox * #",
    "\u2018\u201a\u201b''\u2019 $(Remove-Item C:\\) `'",
    '"<<mark>>" {0} %s #> `"',
)
SERVER: Final = "server"
ONLINE: Final = "online"
CHANGING = ("New", "Set", "Remove", "Update")


def texts(facts: KitFacts, contacts: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, tuple[Where, str]]:
    published = {"contact/acme.example": CONTACT} if contacts is None and facts.ime_addresses else contacts or {}
    return {
        "server": (SERVER, on_premises(facts, published)),
        "server back": (SERVER, roll_back_on_premises(facts)),
        "online": (ONLINE, exchange_online(facts, published)),
        "online back": (ONLINE, roll_back_online(facts)),
    }


NAMES = tuple(texts(FACTS))
TEXTS = texts(FACTS)
SCRIPTS = {name: read(text) for name, (_, text) in TEXTS.items()}


def changes(found: Script) -> list[Command]:
    """Commands of Exchange and Active Directory that change something."""
    return [
        one
        for one in found.commands
        if one.name.partition("-")[0] in CHANGING and one.name not in ("New-Object", "Set-StrictMode")
    ]


@pytest.mark.parametrize("facts", [FACTS, PLAIN], ids=["all", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_every_cmdlet_and_parameter_is_in_the_reference(facts: KitFacts, name: str) -> None:
    where, text = texts(facts)[name]
    found = read(text)
    assert len(changes(found)) > 5
    assert found.unknown(where) == []


@pytest.mark.parametrize("facts", [FACTS, PLAIN], ids=["all", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_each_line_is_commented(facts: KitFacts, name: str) -> None:
    assert read(texts(facts)[name][1]).uncommented() == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_changes_before_should_process_said_yes(name: str) -> None:
    found = SCRIPTS[name]
    assert "[CmdletBinding(SupportsShouldProcess = $true" in TEXTS[name][1]
    for one in changes(found):
        asked = [header for header in found.headers(one) if header.startswith("if (") and "ShouldProcess" in header]
        skipped = "if ( -not $PSCmdlet .ShouldProcess (" in found.before(one)
        assert skipped or any(" -not $PSCmdlet" not in header for header in asked), one


@pytest.mark.parametrize("name", NAMES)
def test_what_if_is_not_told_that_anything_was_done(name: str) -> None:
    before, asked, after = TEXTS[name][1].partition("if ($WhatIfPreference) { Write-Host 'Nothing was changed.")
    assert asked and "'Done" not in before and "Write-Host 'Done" in after
    assert after.splitlines()[0].endswith("; return }")


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_the_end_leads_to_the_next_line_of_the_order(world: str) -> None:
    (_, text) = TEXTS[world]
    assert "go on in README.txt, part 2, with the line below the one of this script.'" in text.splitlines()[-1]
    assert (
        "2. THE ORDER"
        in Path(ime_gateway.__file__).with_name("admin").joinpath("exchange_kit/checklist.py").read_text()
    )


@pytest.mark.parametrize("name", NAMES)
def test_get_comes_before_new_and_what_others_made_stays(name: str) -> None:
    found = SCRIPTS[name]
    for one in changes(found):
        noun = one.name.partition("-")[2]
        before = found.before(one) + found.text(0, one.place)
        reader = {"MailContact": "Get-Recipient", "Recipient": "Get-Recipient", "Contact": "Get-Recipient"}
        assert reader.get(noun, f"Get-{noun}") in before, one
        if noun == "RemoteDomain":
            assert "DomainName" in before
        elif noun in ("MailContact", "Contact", "Recipient", "ADObject"):
            assert ".Notes" in found.before(one)
            assert "StartsWith ( $Mark )" in found.before(one)
        elif "Assert-Ours" not in found.before(one):
            ours = "$stale = $connectors | Where-Object" in found.before(one)
            assert "StartsWith ( $Mark )" in (found.before(one) if ours else " ".join(found.headers(one))), one
    for one in found.calls("Assert-Ours"):
        assert one.parameters["Found"].strip("$") in ("found", "refusal", "stale")
        assert re.search(rf"\{one.parameters['Found']} \.Comments? ", one.parameters["Comment"])


@pytest.mark.parametrize("name", NAMES)
def test_only_what_begins_with_the_mark_is_ours(name: str) -> None:
    found = SCRIPTS[name]
    body = found.text(0, len(found.tokens)).partition("function Assert-Ours {")[2].partition("\n }")[0]
    statements = [line.strip() for line in body.splitlines() if line.strip()]
    assert statements[0].startswith("param ( $Found ,")
    assert statements[1] == "if ( -not $Found -or $Comment .StartsWith ( $Mark ) ) { return }"
    assert statements[2].startswith("throw ") and len(statements) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_new_object_carries_the_mark(name: str) -> None:
    found = SCRIPTS[name]
    assert f"$Mark = '{MARK}'" in TEXTS[name][1]
    assert 'Comment = "$Mark' in TEXTS[name][1].replace("  ", " ")
    for one in changes(found):
        verb, _, noun = one.name.partition("-")
        if verb == "New" and noun not in ("RemoteDomain", "MailContact"):
            assert "$Comment" in (one.parameters.get("Comment"), one.parameters.get("Comments")), one


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_the_roll_back_removes_what_was_made_and_nothing_else(world: str) -> None:
    made, back = SCRIPTS[world], SCRIPTS[f"{world} back"]
    nouns = {one.name.partition("-")[2] for one in changes(made) if one.name.startswith("New-")}
    removed = {one.name.partition("-")[2] for one in changes(back) if one.name.startswith("Remove-")}
    assert removed == nouns
    assert {one.name for one in changes(back) if not one.name.startswith("Remove-")} == {"New-TransportRule"}
    names = {text for text in made.strings() if text.startswith(PREFIX) and not text.startswith(f"{PREFIX}keep ")}
    connectors = {f"{PREFIX}internal encryption", f"{PREFIX}mail from inside", f"{PREFIX}mail from outside"}
    domains = {remote_domain_name(one) for one in FACTS.ime_domains}
    assert connectors | domains <= names
    assert connectors | domains <= set(back.strings())
    assert all("-Confirm:$false" in line for line in TEXTS[f"{world} back"][1].splitlines() if " Remove-" in line)


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_the_roll_back_refuses_mail_before_it_takes_the_route_away(world: str) -> None:
    back = SCRIPTS[f"{world} back"]
    (refusal,) = back.calls("New-TransportRule")
    assert refusal.parameters["RecipientDomainIs"] == "$ImeDomain"
    assert "if ( -not $WhatIfPreference ) { return }" in back.text(refusal.place, changes(back)[1].place)
    too_early = "if ( $Everything -and -not $refusal -and @( Get-"
    assert too_early in back.text(0, refusal.place)
    refused = back.text(0, refusal.place).rpartition(too_early)[2].partition("\n")[0]
    assert "{ throw 'The route still stands" in refused
    assert refusal.place < min(one.place for one in changes(back) if one.name.startswith("Remove-"))
    assert "-not $Everything" in " ".join(back.headers(refusal))
    (last,) = back.calls("Remove-MailContact")
    assert "{ $Everything }" in back.text(0, last.place).rpartition("foreach ( $address in")[2]
    assert "'<<" not in TEXTS[f"{world} back"][1]


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_the_second_run_of_the_roll_back_leaves_the_refusal(world: str) -> None:
    back = SCRIPTS[f"{world} back"]
    (removal,) = back.calls("Remove-TransportRule")
    assert f"if ( $rule .Name -eq '{REFUSAL}' -and -not $Everything ) {{ continue }}" in back.before(removal)


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_the_roll_back_takes_nothing_away_while_its_rule_is_young(world: str) -> None:
    text, back = TEXTS[f"{world} back"][1], SCRIPTS[f"{world} back"]
    (moment,) = re.findall(r"\$Comment = .*? at \$\(\[datetime\]::UtcNow\.ToString\('(.)'\)\)\.", text)
    assert moment == "u", "2026-11-23 03:00:00Z in each culture"
    (pattern,) = re.findall(r"if \(\$refusal -and -not \$Now .* -match '([^']+)'\) \{", text)
    found = re.search(pattern, f"{MARK}, left by x.ps1 at 2026-11-23 03:00:00Z. Remove it")
    assert found is not None and found[1] == "2026-11-23 03:00:00Z"
    stop = text.index("if ($minutes -lt 60 -and -not $WhatIfPreference) { throw $early }")
    assert all(stop < text.index(one.name) for one in changes(back) if one.name.startswith("Remove-"))
    assert "Nothing was changed. Run this script again" in text[:stop]


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_the_roll_back_asks_its_refusal_first_and_leaves_the_contacts_of_others(world: str) -> None:
    back = SCRIPTS[f"{world} back"]
    (refusal,) = back.calls("New-TransportRule")
    assert (refusal.parameters["Priority"], refusal.parameters["RuleErrorAction"]) == ("0", "'Defer'")
    (removal,) = back.calls("Remove-MailContact")
    ours = (
        "if ( -not ( [ string ] ( Get-Contact -Identity $contact .DistinguishedName ) .Notes ) .StartsWith ( $Mark ) )"
    )
    assert f"{ours} {{ continue }}" in back.before(removal).replace("\n", "")


def test_both_certificates_are_one_change_and_each_is_one_value() -> None:
    (change,) = SCRIPTS[SERVER].calls("Set-ADObject")
    assert change.parameters["Replace"] == "@{ userCertificate = $certificate ; userSMIMECertificate = $signed }"
    (contact,) = (one for one in SCRIPTS[ONLINE].calls("Set-MailContact"))
    assert contact.parameters["UserCertificate"] == "@( , $certificate )"
    assert contact.parameters["UserSMimeCertificate"] == "@( , $signed )"


def test_two_trust_levels_back_on_premises() -> None:
    inside, outside = re.findall(r"    @\{\n(.*?)\n    \}", TEXTS["server"][1].partition("$doors = @(")[2], re.DOTALL)[
        :2
    ]
    assert re.search(r"Port +      *= \$InsidePort", inside)
    assert "'Tls, ExternalAuthoritative'" in inside
    assert "'ExchangeServers'" in inside
    assert re.search(r"Port +      *= \$OutsidePort", outside)
    assert "'Tls' " in outside
    assert "'AnonymousUsers'" in outside
    (made,) = SCRIPTS["server"].calls("New-ReceiveConnector")
    assert made.parameters["RemoteIPRanges"] == "$GatewayAddress"
    assert made.parameters["RequireTLS"] == "$true"
    assert "$InsidePort = @(10026)" in TEXTS["server"][1]
    assert "$OutsidePort = @(25)" in TEXTS["server"][1]
    assert "$InsidePort = @()" in texts(PLAIN)["server"][1]


def test_two_trust_levels_back_online() -> None:
    inside, outside = re.findall(r"    @\{\n(.*?)\n    \}", TEXTS["online"][1].partition("$doors = @(")[2], re.DOTALL)[
        :2
    ]
    assert re.search(r"TreatMessagesAsInternal = \$true ", inside)
    assert re.search(r"SenderIPAddresses +      *= \$InsideAddress", inside)
    assert re.search(r"SenderDomains +      *= \$ManagedDomain", inside)
    assert re.search(r"TreatMessagesAsInternal = \$false", outside)
    assert re.search(r"SenderIPAddresses +      *= \$outsideAddress", outside)
    assert "[string[]] $InsideAddress = @()" in TEXTS["online"][1]
    assert "$GatewayAddress = @('81.2.69.142')" in TEXTS["online"][1].replace("[string[]] ", "")


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_mail_to_internal_encryption_goes_to_the_gateway_encrypted_and_without_tnef(world: str) -> None:
    found = SCRIPTS[world]
    made = found.calls("New-SendConnector", "New-OutboundConnector")[0].parameters
    assert "$ImeDomain" in (made.get("AddressSpaces"), made.get("RecipientDomains"))
    assert made["SmartHosts"] == "$GatewayName"
    assert made["TlsDomain"] == "$GatewayName"
    assert made.get("RequireTLS") == "$true" or made["TlsSettings"] == "'DomainValidation'"
    assert "$ImeDomain = @('imepseudodomain.local', 'ime.acme.example')" in TEXTS[world][1]
    (remote,) = found.calls("Set-RemoteDomain")
    assert remote.parameters["TNEFEnabled"] == "$false"
    route = found.calls("New-SendConnector", "New-OutboundConnector")[0]
    assert remote.place < route.place


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_the_rules_guard_our_headers_and_end_loops(world: str) -> None:
    text = TEXTS[world][1]
    for variable, headers in (("FromOutside", FROM_OUTSIDE), ("ToOutside", TO_OUTSIDE)):
        block = text.partition(f"${variable} = @(")[2].partition("\n)")[0]
        assert re.findall(r"^    '([^']+)'", block, re.MULTILINE) == [one.name for one in headers]
        for one in headers:
            assert len(f"{PREFIX}keep out {one.name}") <= 64
    guard = text.partition("loop guard'")[2].partition("\n    }")[0]
    assert f"'{TRACE}'" in guard
    written = trace_field("an-id", bytes(32))
    assert written.name == TRACE
    assert re.search(re.search(r"HeaderMatchesPatterns +      *= '([^']+)'", guard)[1], written.value.decode())  # type: ignore[index]
    for reason in re.findall(r"RejectMessageReasonText +      *= '([^']+)'", text):
        assert len(reason) <= 256
    (rule,) = SCRIPTS[world].calls("New-TransportRule")
    assert rule.parameters["RuleErrorAction"] == "'Defer'"
    assert rule.parameters["ExceptIfRecipientDomainIs"] == "$ImeDomain"
    assert rule.parameters["ExceptIfSenderIpRanges"] == "$GatewayAddress"
    section = text.partition("# --- Transport rules")[2]
    tables = re.findall(rf"@\{{\n( +Name += .{PREFIX}.*?)\n *\}}", section, re.DOTALL)
    kept_out, kept_in = (one for one in tables if "$header" in one)
    for words in ("= 'X-MS-Exchange-Organization-AuthAs'", "= 'Anonymous'", "ExceptIfSenderIpRanges", "RemoveHeader"):
        assert words in kept_out
    for words in ("= 'NotInOrganization'", "ExceptIfRecipientDomainIs", "RemoveHeader"):
        assert words in kept_in
    assert all("RuleErrorAction" in one and "= 'Defer'" in one for one in tables), "never sent because a rule failed"
    assert re.search(r"-Priority \$priority", text) and text.count("$priority++") == 1, "each below the one before"
    (who_may_write,) = (one for one in tables if "authenticated senders only" in one)
    assert "= 'X-MS-Exchange-Organization-AuthAs'" in who_may_write and "= 'Anonymous'" in who_may_write


@pytest.mark.parametrize("world", [SERVER, ONLINE])
def test_a_contact_of_others_stops_the_script_when_only_contacts_are_left(world: str) -> None:
    """There may be several contacts, and the first of them may be somebody else's."""
    (sentence,) = [one for one in SCRIPTS[world].strings() if "was not made by this kit" in one and "contact" in one]
    assert "all is done but the contacts from this one on" in sentence
    last = SCRIPTS[world].calls(
        "New-TransportRule", "Remove-TransportRule", "New-SendConnector", "New-InboundConnector"
    )
    assert max(one.place for one in last) < SCRIPTS[world].calls("New-MailContact")[0].place


@pytest.mark.parametrize("name", NAMES)
def test_nobody_gets_the_right_to_bring_organisation_headers(name: str) -> None:
    code = " ".join(one.text for one in SCRIPTS[name].tokens)
    assert "Add-ADPermission" not in code
    assert "CloudServicesMailEnabled = $true" not in code
    assert "ms-Exch-" not in code


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", NAMES)
def test_no_value_becomes_code(name: str, value: str) -> None:
    contact = {key: f"{text}{value}" for key, text in CONTACT.items()}
    facts = replace(
        FACTS,
        name=f"gw{value}",
        managed=(value, "branch.example"),
        v1_address=f"ime@x{value}",
        ime_addresses=(ImeAddress("acme.example", f"a@ime{value}"),),
        secret_header=f"X-{value}",
    )
    harmless = SCRIPTS[name]
    hostile = read(texts(facts, {f"contact/{value}": contact})[name][1])
    assert [(one.kind, one.depth) for one in hostile.tokens] == [(one.kind, one.depth) for one in harmless.tokens]
    code = [(one.kind, one.text) for one in harmless.tokens if one.kind != "string"]
    assert [(one.kind, one.text) for one in hostile.tokens if one.kind != "string"] == code
    assert ("back" in name) == (f"a@ime{value}" in hostile.strings())
    assert any(value.lower() in text.lower() for text in hostile.strings())


@pytest.mark.parametrize("text", ["a\r\nRemove-Mailbox *", "a\nb", "a\x00b", "a\u2028b", "a\u202eb"])
def test_controls_have_no_place_in_a_script(text: str) -> None:
    with pytest.raises(UserError, match="control characters"):
        quoted(text)
    assert "\n" not in remark(text)


def test_a_comment_cannot_be_ended_by_a_value() -> None:
    assert "#>" not in remark("x #> Remove-Mailbox *")


def test_windows_reads_the_file() -> None:
    data = script("a\nb\n")
    assert data == b"\xef\xbb\xbfa\r\nb\r\n"


def test_names_of_remote_domains_fit_and_differ() -> None:
    long_one, other = "a" * 60 + ".one.example", "a" * 60 + ".two.example"
    names = {remote_domain_name(one) for one in (long_one, other, "ime.acme.example")}
    assert len(names) == 3
    assert all(len(one) <= 64 for one in names)


def test_every_header_that_the_gateway_writes_or_reads_is_guarded() -> None:
    """By looking through the sources: a header that is added one day must be added to the rules, too."""
    package = Path(ime_gateway.__file__).parent
    sources = [path for path in package.rglob("*.py") if path.parent.name != "exchange_kit"]
    literals = re.compile(r"""["'](X-(?:SM|ESWmail|IMEGW)-[A-Za-z-]*[A-Za-z])["':]""", re.IGNORECASE)
    used = {name.lower() for path in sources for name in literals.findall(path.read_text(encoding="utf-8"))}
    guarded = {one.name.lower() for one in TO_OUTSIDE}
    assert {"x-sm-origbcc", "x-eswmail-internalencrypt-sentcopy"} <= guarded
    assert used - guarded == {TRACE.lower(), NEW_SIGNER_HEADER.lower()}  # the second stands inside containers only
    assert {one.name for one in TO_OUTSIDE} - {one.name for one in FROM_OUTSIDE} == {
        "X-SM-ORIGTO",
        "X-SM-ORIGCC",
        "X-SM-ORIGBCC",
    }
