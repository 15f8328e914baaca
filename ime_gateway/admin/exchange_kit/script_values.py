"""What fills the scripts for Exchange Server and for Exchange Online: written once, so that they agree."""

from collections.abc import Iterable

from ime_gateway.admin.exchange_kit.facts import KitFacts
from ime_gateway.admin.exchange_kit.powershell import listed, quoted, remark
from ime_gateway.admin.exchange_kit.remote_domain_names import remote_domain_lines
from ime_gateway.admin.exchange_kit.script_head import MARK, PROOF_HELP, PROOF_PARAM


def common_values(facts: KitFacts, addresses: Iterable[str]) -> dict[str, str]:
    """By the name of their place in the text, for `powershell.filled`; `addresses`: where the gateway comes from."""
    secret = bool(facts.secret_header)
    return {
        "name_remark": remark(facts.name),
        "mark": MARK,
        "made_at": facts.made_at,
        "addresses": listed(addresses),
        "secret_help": PROOF_HELP if secret else "",
        "secret_param": PROOF_PARAM if secret else "",
        "comma": "," if secret else "",
        "name": quoted(facts.name),
        "ime_domains": listed(facts.ime_domains),
        "remote_domains": remote_domain_lines(facts.ime_domains),
    }
