"""The lines of README.md's walk-through, as chapter 2 of the demo types them in the folder of company.py."""

EXPORT = "ime-gateway ime export-contact acme.example --out contact"
PUBLISH = "addin-sim publish --backend ldap --contact contact --settings publisher.toml"
LOOK = f"{PUBLISH} --dry-run"
LDAPSEARCH = 'ldapsearch -LLL -x -w $READER_PASSWORD "(cn=_IME*)" displayName proxyAddresses userCertificate'
FIND = "addin-sim find --settings {name}.toml"
SEND = "addin-sim send --ime 2 --settings {name}.toml --eml mail.eml"
SYNC = "addin-sim sync --settings {name}.toml"
OPEN = "openssl cms -decrypt -recip bob.pem -inkey bob.key -in $(ls -t mailboxes/bob@*/Maildir/new/* | head -n 1)"
VERIFY = "addin-sim verify --contact contact --settings emma.toml"
PUBLISH_EWS = "addin-sim publish --backend ews --contact contact --settings emma.toml"
REHEARSE = "addin-sim rehearse --settings anna.toml --people people.toml --users 3 --minutes 0.05 --each 1"
KIT = "ime-gateway exchange-kit --out kit --gateway-address 192.0.2.25"

LINES = (
    *(EXPORT, LOOK, PUBLISH, LDAPSEARCH),
    *(line.format(name="anna") for line in (FIND, SEND, SYNC)),
    *(OPEN, VERIFY, PUBLISH_EWS),
    *(line.format(name="emma") for line in (FIND, SEND, SYNC)),
    *(REHEARSE, KIT),
)
"""What README.md's walk-through must say, in this order."""
