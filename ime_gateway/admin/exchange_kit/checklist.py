"""README.txt of the kit: the order, what is trusted and why, the test mails, and what the kit does not do."""

import re
import textwrap
from collections.abc import Sequence

from ime_gateway.admin.exchange_kit.facts import KitFacts
from ime_gateway.admin.exchange_kit.powershell import filled
from ime_gateway.admin.exchange_kit.rules_section import PROOF_RULE
from ime_gateway.admin.exchange_kit.script_head import INSIDE_NAME, OUTSIDE_NAME
from ime_gateway.admin.exchange_kit.test_mails import OUTSIDER, TestMail

_WIDTH = 100
_BOX = re.compile(r"(\[ \]|-) ")

_HEAD = """\
Exchange and Outlook for internal mail encryption with <<name>>

Made by `ime-gateway exchange-kit` at <<made_at>>. There is nothing secret in this folder.

Your domains: <<managed>>. The gateway comes from <<addresses>> and listens on port <<port>>. To the gateway go:
<<ime_domains>>.

Read a script before you run it: each line says what it is for. Each has -WhatIf, may be run again, and stops with a
sentence rather than touch what somebody else made. Each cmdlet and parameter was compared with Microsoft's reference;
the scripts were not run against a real Exchange by those who wrote them, so try them in your test organisation first.

1. FIRST, AT THE GATEWAY

<<notes>>

2. THE ORDER

[ ] The name <<name>> leads to the gateway from every Exchange server (Resolve-DnsName <<name>>), and its port answers
(Test-NetConnection -ComputerName <<name>> -Port <<port>>).

[ ] Files that came by mail or download are blocked: Get-ChildItem *.ps1 | Unblock-File.

[ ] Exchange Server: .\\10-on-premises.ps1 -WhatIf, read what it would do, then without -WhatIf. Exchange Online:
20-exchange-online.ps1 likewise. In a hybrid run each script where mailboxes of your users are.

[ ] The Windows firewall of the Exchange servers lets the gateway in on the ports of deliver_to and return_to;
`ime-gateway doctor` says whether they answer.

<<contact_step>>

[ ] The test mails of part 5, with two test users who have the add-in.

[ ] Last, the add-in for everybody, with its setting (<<registry>>): only now, because before the route stands mail to
internal encryption could leave another way.

3. TWO TRUST LEVELS BACK

The gateway brings back two kinds of mail. What your users sent (return_to) is shown as a colleague's mail and passes
no spam filter; what came from outside (deliver_to) is a stranger's mail as before. Whoever could mix them up could
pose as a colleague, so each has a door of its own, open to the gateway's address only and with TLS only.

Exchange Server: '<<inside_name>>', port <<inside>>, ExternalAuthoritative; '<<outside_name>>', port <<outside>>,
AnonymousUsers. ExternalAuthoritative trusts the address, not a password: nobody else may
be able to use that address.

Exchange Online has one port for both and looks at the address alone. Give -InsideAddress only when the gateway sends
mail from inside by an address of its own; without it all mail comes back as strangers' mail, and your SPF record must
name the gateway, or its copies of your users' mail look forged. It promises TLS for partners' connectors only; the
gateway begins TLS by itself.

4. HEADERS

Exchange's header firewall removes X-MS-Exchange-Organization-* and X-MS-Exchange-Forest-* and nothing else. The
headers of internal encryption (X-SM-*, X-ESWmail-*, x-smenc ...) pass it untouched; no exception is needed, and none
is made. Do not grant ms-Exch-Accept-Headers-Organization or ms-Exch-Send-Headers-Organization to the gateway, and
leave CloudServicesMailEnabled off: each would let headers in or out by which Exchange recognises itself.

The rules 'keep out' do for our headers what that firewall does for Exchange's: unauthenticated mail that did not come
from the gateway loses them. The rules 'keep in' remove them from mail to outsiders. Control headers (x-smenc,
x-smsign ...) are left alone on purpose: on the way to the gateway they ask for encryption.

Edge servers, spam filters and rules of other products may remove X-headers, too; the script warns of such rules.

5. TEST MAILS

They are in test-mails. The test users are <<test_sender>> and <<test_recipient>>; for others, make the kit again with
--test-sender and --test-recipient. Each needs a mailbox, the add-in, and a certificate at the gateway (ime-gateway
cert list). <<outsider>> stands for a mailbox of yours outside.

Outlook opens the files as drafts. Where headers matter the mail is sent by swaks (jetmore.org/john/code/swaks, or any
SMTP client that sends a file as it is); YOUR-EXCHANGE is a server of yours, for Exchange Online smtp.office365.com on
port 587 and the host of your MX record on port 25. Each mail says in its text what must be seen. Their way through the
gateway was tried by those who wrote them; what your Exchange does with them is for you to see.

<<mails>>

6. WHAT THIS KIT DOES NOT DO

- Mail to partners outside is encrypted only when it, too, passes the gateway. The kit does not change your Internet
connector; give it the gateway as smart host when everything is to go that way.<<proof_gap>>

- Mail from outside: the MX record, or the filter in front, must lead to the gateway's Internet listener.

- Exchange must trust the gateway's TLS certificate. The gateway takes that of Exchange as it is.

- The limits of the organisation (Set-TransportConfig -MaxSendSize, -MaxReceiveSize) stay: encrypted mail is about 37
% larger than the mail in it.

<<registry_gap>>

7. THE WAY BACK

11-rollback-on-premises.ps1 and 21-rollback-exchange-online.ps1 remove what the scripts made, and nothing else, in
three runs: without a route mail to internal encryption would leave readable.

[ ] The first run makes a rule that refuses such mail, and ends. Wait an hour; until the rule acts everywhere that
mail still goes to the gateway, and the script takes nothing away (-Now says that a test mail was refused everywhere).

[ ] The second run removes the route, the doors, the rules and the remote domains.

[ ] Take the add-in away, or its button. Then the third run, with -Everything: the refusal goes, and the contacts.
"""
_CONTACT_STEP = """\
[ ] The contact (<<contacts>>) was published by the script. Where addin-sim publish does that instead, the script takes
-NoContact, or it stops at a contact that it did not make. Outlook sees the contact after the offline address book was
made (Update-OfflineAddressBook) and fetched, which may take a day."""
_NO_CONTACT = """\
[ ] There is no contact in this kit: see part 1. IME 1.0 needs none."""
_PROOF_GAP = """\
 The gateway takes no mail without the header <<header>>, which the rule '<<rule>>' writes on mail
to internal encryption only; make a rule of your own like it for the mail that goes there, and for no other."""
_REGISTRY_GAP = """\
- The add-in's registry key is not public, so the .reg file needs a hand (see inside), or the kit --registry-key."""
_READY = "[ ] Nothing: the gateway is ready. `ime-gateway check` and `ime-gateway doctor` look at the rest."


def checklist(facts: KitFacts, contacts: Sequence[str], registry: Sequence[str], mails: Sequence[TestMail]) -> bytes:
    """The file, CRLF; `contacts` and `registry` are names inside the kit."""
    values = {
        "name": facts.name,
        "made_at": facts.made_at,
        "managed": ", ".join(facts.managed),
        "addresses": ", ".join(facts.addresses),
        "port": str(facts.port),
        "ime_domains": ", ".join(facts.ime_domains),
        "notes": "\n\n".join(f"[ ] {note}" for note in facts.notes) or _READY,
        "contact_step": filled(_CONTACT_STEP, {"contacts": ", ".join(contacts)}) if contacts else _NO_CONTACT,
        "registry": ", ".join(registry),
        "inside": ", ".join(map(str, facts.inside_ports)) or "none (see part 1)",
        "inside_name": INSIDE_NAME,
        "outside_name": OUTSIDE_NAME,
        "outside": ", ".join(map(str, facts.outside_ports)),
        "test_sender": facts.test_sender,
        "test_recipient": facts.test_recipient,
        "outsider": OUTSIDER,
        "mails": "\n\n".join(_mail(mail) for mail in mails),
        "proof_gap": filled(_PROOF_GAP, {"header": facts.secret_header, "rule": PROOF_RULE})
        if facts.secret_header
        else "",
        "registry_gap": "" if facts.registry_key else _REGISTRY_GAP,
    }
    paragraphs = [_folded(one) for one in filled(_HEAD, values).split("\n\n") if one.strip()]
    return ("\n\n".join(paragraphs) + "\n").replace("\n", "\r\n").encode("utf-8")


def _mail(mail: TestMail) -> str:
    """One paragraph whose lines `_folded` keeps apart, because each begins with a bar."""
    words = (("Send", mail.send), ("Expected", mail.expected), ("Otherwise", mail.otherwise))
    return "\n".join([f"[ ] {mail.file}: {mail.title}", *(f"|{word}: {text}" for word, text in words)])


def _folded(paragraph: str) -> str:
    """A paragraph in lines of at most 100 characters; what follows a box, a dash or a bar is indented below it."""
    pieces = paragraph.strip().split("\n|")
    first, *rest = (" ".join(one.split()) for one in pieces)
    found = _BOX.match(paragraph.strip())
    lines = [_filled(first, "", " " * len(found[0]) if found else "")]
    return "\n".join([*lines, *(_filled(one, "    ", "      ") for one in rest)])


def _filled(text: str, first: str, others: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
