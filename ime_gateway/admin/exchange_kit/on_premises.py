"""The script for Exchange Server 2016, 2019 and SE: routes, connectors, remote domains, rules and the contact.

One send connector carries the pseudo domain of IME 1.0 and each IME 2.0 domain to the gateway, with TLS whose
certificate is checked by name (New-SendConnector: TlsDomain is needed with DomainValidation and a smart host). The way
back is in `receive_section`.
"""

from collections.abc import Mapping
from typing import Final

from ime_gateway.admin.exchange_kit.contact_sections import ON_PREMISES, contact_lines
from ime_gateway.admin.exchange_kit.facts import KitFacts
from ime_gateway.admin.exchange_kit.powershell import filled, listed_numbers, with_names
from ime_gateway.admin.exchange_kit.receive_section import RECEIVE
from ime_gateway.admin.exchange_kit.rules_section import rules_section
from ime_gateway.admin.exchange_kit.script_head import (
    BEFORE,
    INSIDE_NAME,
    NOT_ACCEPTED,
    OURS,
    OUTSIDE_NAME,
    PREFIX,
    REMOTE_DOMAINS,
    REMOVERS,
    STRICT,
)
from ime_gateway.admin.exchange_kit.script_values import common_values

SEND_NAME: Final = f"{PREFIX}internal encryption"

_HEAD: Final = """\
#Requires -Version 5.1
<#
.SYNOPSIS
    Sets up Exchange Server (2016, 2019, SE) for internal mail encryption with the gateway <<name_remark>>.
.DESCRIPTION
    Run it in the Exchange Management Shell with the roles Organization Management (connectors, rules, contact). First with -WhatIf:
    it then tells what it would do and changes nothing. It may be run again at any time: it looks before it makes, and
    brings what it made earlier up to date. What others made it never changes: it stops and says so.
    11-rollback-on-premises.ps1 takes everything away again.
    <<mark>> at <<made_at>>.
.PARAMETER GatewayAddress
    The addresses from which the gateway connects to Exchange. No other machine may use the two receive connectors.
.PARAMETER ExchangeServer
    The Exchange servers that talk to the gateway. Default: all servers with a front end.
.PARAMETER TlsAuthLevel
    How the gateway's TLS certificate is checked. DomainValidation: chain, revocation and name, so every Exchange server must trust the issuer.
.PARAMETER OrganizationalUnit
    Where new contacts are made in Active Directory. Default: where Exchange makes them.
.PARAMETER NoContact
    Leave the contacts of the address list alone, because addin-sim publish, or somebody, keeps them.
<<secret_help>>.EXAMPLE
    .\\10-on-premises.ps1 -WhatIf
.EXAMPLE
    .\\10-on-premises.ps1 -ExchangeServer EX1, EX2 -OrganizationalUnit 'acme.example/IME'
#>
# -WhatIf and -Confirm work as with every cmdlet.
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'Medium')]
# What may be given; each has the value that the gateway knows.
param(
    [string[]] $GatewayAddress = <<addresses>>,  # --gateway-address, or the address of the gateway's listener
    [string[]] $ExchangeServer = @(),  # empty: all
    [ValidateSet('DomainValidation', 'CertificateValidation', 'EncryptionOnly')]  # from strict to weak
    [string] $TlsAuthLevel = 'DomainValidation',  # the strict one
    [string] $OrganizationalUnit = '',  # empty: the default of Exchange
    [switch] $NoContact<<comma>>  # not given: this script publishes them
<<secret_param>>)
"""  # noqa: E501 - lines of the script
_DATA: Final = """\
# --- What the gateway knows ---------------------------------------------------------------------------------------
# Exchange finds the gateway by this name and compares the TLS certificate with it.
$GatewayName = <<name>>
# The port of the gateway's internal listener.
$GatewayPort = <<port>>
# Everything in these domains goes to the gateway: the pseudo domain of IME 1.0, then each IME 2.0 domain.
$ImeDomain = <<ime_domains>>
# One remote domain for each of them, with its name in Exchange.
$RemoteDomainName = @{
<<remote_domains>>
}
# Ports on which mail from inside returns (return_to). Empty: it cannot be told apart, see README.txt.
$InsidePort = <<inside>>
# Ports on which mail from outside comes (deliver_to).
$OutsidePort = <<outside>>
# The largest mail that the gateway takes.
$MaxMessageSize = '<<max_kb>>KB'
# Stands in every object that has a comment.
$Comment = "$Mark for $GatewayName. Remove it with 11-rollback-on-premises.ps1."
"""
_SHELL: Final = """\
# The cmdlets below exist only in the Exchange Management Shell.
if (-not (Get-Command -Name Get-SendConnector -ErrorAction SilentlyContinue)) { throw 'This is not the Exchange Management Shell. Nothing was changed. Start that shell on an Exchange server and run this script there.' }
"""  # noqa: E501 - lines of the script
_SERVERS: Final = """\
# Servers with a front end; those are the ones that take and send mail.
$servers = @(Get-FrontendTransportService | ForEach-Object { [string] $_.Name } | Where-Object { $ExchangeServer.Count -eq 0 -or $ExchangeServer -contains $_ })
# A misspelt server must not go unnoticed.
foreach ($server in $ExchangeServer) {
    # Compared without regard to case.
    if ($servers -notcontains $server) { throw "There is no Exchange server called $server with a front end. Nothing was changed. Look at: Get-FrontendTransportService" }
}
# Another connector for the same domains would take the mail elsewhere.
foreach ($connector in Get-SendConnector) {
    # Ours is brought up to date below.
    if ($connector.Name -eq '<<send_name>>') { continue }
    # An address space is written SMTP:domain;cost.
    foreach ($space in $connector.AddressSpaces) {
        # Only the domain counts.
        $domain = ([string] $space -replace '^[^:]*:', '' -replace ';.*$', '').ToLowerInvariant()
        # The administrator must decide which one is right.
        if ($ImeDomain -contains $domain) { throw "The send connector '$($connector.Name)' takes mail for $domain. Nothing was changed. Remove that address space there, then run this script again." }
    }
}
"""  # noqa: E501 - lines of the script
_SEND: Final = """\
# --- The route: mail to internal encryption goes to the gateway, encrypted, and nowhere else ----------------------
# All settings in one hand.
$settings = @{
    AddressSpaces          = $ImeDomain        # only these domains; all other mail goes its way as before
    SmartHosts             = $GatewayName      # the gateway
    DNSRoutingEnabled      = $false            # by that name, not by MX
    Port                   = $GatewayPort      # of the internal listener
    RequireTLS             = $true             # IME 1.0 mail is readable on this leg but for TLS
    TlsAuthLevel           = $TlsAuthLevel     # how the certificate is checked
    SmartHostAuthMechanism = 'None'            # the gateway knows Exchange by its address
    SourceTransportServers = $servers          # from these servers
    MaxMessageSize         = $MaxMessageSize   # the gateway takes no more
    ProtocolLoggingLevel   = 'Verbose'         # the conversation can be read afterwards
    Comment                = $Comment          # whose it is
}
# The name in the certificate; the parameter means something with DomainValidation only.
if ($TlsAuthLevel -eq 'DomainValidation') { $settings.TlsDomain = $GatewayName }
# The connector of this name, if there is one.
$found = Get-SendConnector | Where-Object { $_.Name -eq '<<send_name>>' }
# Stop when it is somebody else's.
Assert-Ours -Found $found -Comment ([string] $found.Comment) -What "The send connector '<<send_name>>'"
# With -WhatIf this only tells what would be done.
if ($PSCmdlet.ShouldProcess('<<send_name>>', "make the send connector to ${GatewayName}:$GatewayPort, or bring it up to date")) {
    # Get before New.
    if ($found) { Set-SendConnector -Identity '<<send_name>>' @settings -ErrorAction Stop } else { New-SendConnector -Name '<<send_name>>' -Usage Custom @settings -ErrorAction Stop | Out-Null }
    # Done.
    Write-Step "send connector for $($ImeDomain -join ', ') to ${GatewayName}:$GatewayPort"
}
"""  # noqa: E501 - lines of the script
_END: Final = """\
# --- Done ---------------------------------------------------------------------------------------------------------
# Whoever only asked is not told that anything was done.
if ($WhatIfPreference) { Write-Host 'Nothing was changed. Read what is above; then run this script without -WhatIf.'; return }
# The contact must be seen and the ports be open before the test mails can prove it.
Write-Host 'Done. Now go on in README.txt, part 2, with the line below the one of this script.'
"""  # noqa: E501 - lines of the script


def on_premises(facts: KitFacts, contacts: Mapping[str, Mapping[str, str]]) -> str:
    """The text of 10-on-premises.ps1; `contacts` by folder as `contact_lines` takes them."""
    # The remote domains come before the route, so that no first mail is TNEF.
    parts = (
        _HEAD,
        STRICT,
        OURS,
        _DATA,
        BEFORE + _SHELL,
        NOT_ACCEPTED,
        _SERVERS,
        REMOVERS,
        REMOTE_DOMAINS,
        RECEIVE,
        _SEND,
    )
    names = {"send_name": SEND_NAME, "inside_name": INSIDE_NAME, "outside_name": OUTSIDE_NAME}
    text = filled(with_names("\n".join(parts), names), _values(facts))
    published = contact_lines(contacts) + "\n" + ON_PREMISES if contacts else ""
    return "\n".join(part for part in (text, rules_section(facts), published, _END) if part)


def _values(facts: KitFacts) -> dict[str, str]:
    return common_values(facts, facts.addresses) | {
        "port": str(facts.port),
        "inside": listed_numbers(facts.inside_ports),
        "outside": listed_numbers(facts.outside_ports),
        "max_kb": str(facts.max_bytes // 1024),
    }
