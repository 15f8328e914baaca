"""The script for Exchange Online: connectors, remote domains, rules and the contact.

Exchange Online listens on one port, so it tells mail from inside and from outside apart only by the gateway's source
address (design 6.5.6). The ordinary connector merely says where the mail really came from (enhanced filtering) and
makes nothing internal. The trusted one (TreatMessagesAsInternal) is made only for addresses from which nothing but
mail from inside ever comes; with one address for both, whoever forges a colleague's sender would be believed. Neither
carries CloudServicesMailEnabled: that would promote headers.
"""

from collections.abc import Mapping
from typing import Final

from ime_gateway.admin.exchange_kit.contact_sections import ONLINE, contact_lines
from ime_gateway.admin.exchange_kit.facts import KitFacts
from ime_gateway.admin.exchange_kit.powershell import filled, listed, with_names
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

OUTBOUND_NAME: Final = f"{PREFIX}internal encryption"

_HEAD: Final = """\
#Requires -Version 5.1
<#
.SYNOPSIS
    Sets up Exchange Online for internal mail encryption with the gateway <<name_remark>>.
.DESCRIPTION
    Connect-ExchangeOnline first (module ExchangeOnlineManagement 3.0 or later, roles Exchange Administrator). Run it first with -WhatIf:
    it then tells what it would do and changes nothing. It may be run again at any time: it looks before it makes, and
    brings what it made earlier up to date. What others made it never changes: it stops and says so.
    21-rollback-exchange-online.ps1 takes everything away again.
    <<mark>> at <<made_at>>.
.PARAMETER GatewayAddress
    The public IPv4 addresses from which the gateway connects to Exchange Online.
.PARAMETER InsideAddress
    Those of them from which only mail from inside comes: a gateway, or an address of one, that takes nothing from the Internet. Empty
    by default: then mail from inside comes back as mail of strangers, which is safe and looks so in Outlook.
.PARAMETER NoContact
    Leave the contacts of the address list alone, because somebody else keeps them (as directory synchronisation does).
<<secret_help>>.EXAMPLE
    .\\20-exchange-online.ps1 -WhatIf
.EXAMPLE
    .\\20-exchange-online.ps1 -GatewayAddress 192.0.2.10, 192.0.2.11 -InsideAddress 192.0.2.11
#>
# -WhatIf and -Confirm work as with every cmdlet.
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'Medium')]
# What may be given; each has the value that the gateway knows.
param(
    [string[]] $GatewayAddress = <<addresses>>,  # the public ones of --gateway-address
    [string[]] $InsideAddress = @(),  # empty: no trusted way back
    [switch] $NoContact<<comma>>  # not given: this script publishes them
<<secret_param>>)
"""  # noqa: E501 - lines of the script
_DATA: Final = """\
# --- What the gateway knows ---------------------------------------------------------------------------------------
# Exchange Online finds the gateway by this name, on port 25, and compares the TLS certificate with it.
$GatewayName = <<name>>
# Everything in these domains goes to the gateway: the pseudo domain of IME 1.0, then each IME 2.0 domain.
$ImeDomain = <<ime_domains>>
# The domains of your users: only their mail may be internal.
$ManagedDomain = <<managed>>
# One remote domain for each IME domain, with its name in Exchange.
$RemoteDomainName = @{
<<remote_domains>>
}
# Stands in every object that has a comment.
$Comment = "$Mark for $GatewayName. Remove it with 21-rollback-exchange-online.ps1."
"""
_CHECKS: Final = """\
# The cmdlets below exist only after Connect-ExchangeOnline.
if (-not (Get-Command -Name Get-InboundConnector -ErrorAction SilentlyContinue)) { throw 'There is no connection to Exchange Online. Nothing was changed. Run Connect-ExchangeOnline, then this script again.' }
# Without a public address Exchange Online cannot know the gateway.
if ($GatewayAddress.Count -eq 0) { throw 'No public IPv4 address of the gateway is known. Nothing was changed. Give it with -GatewayAddress.' }
# The trusted addresses are some of the gateway's addresses, and not all of them.
if (@($InsideAddress | Where-Object { $GatewayAddress -notcontains $_ }).Count -gt 0) { throw 'InsideAddress names an address that is not in GatewayAddress. Nothing was changed. Give both lists again.' }
# Mail from outside needs an address of its own, or it would be trusted, too.
if ($InsideAddress.Count -gt 0 -and @($GatewayAddress | Where-Object { $InsideAddress -notcontains $_ }).Count -eq 0) { throw 'InsideAddress names all addresses of the gateway, so forged mail from outside would be trusted. Nothing was changed. Leave out the address from which mail from outside comes.' }
# Another connector for the same domains would take the mail elsewhere.
foreach ($connector in Get-OutboundConnector) {
    # Ours is brought up to date below.
    if ($connector.Name -eq '<<outbound_name>>') { continue }
    # The domains of that connector.
    foreach ($domain in $connector.RecipientDomains) {
        # The administrator must decide which one is right.
        if ($ImeDomain -contains ([string] $domain).ToLowerInvariant()) { throw "The outbound connector '$($connector.Name)' takes mail for $domain. Nothing was changed. Remove that domain there, then run this script again." }
    }
}
"""  # noqa: E501 - lines of the script
_CONNECTORS: Final = """\
# --- The route: mail to internal encryption goes to the gateway, encrypted, and nowhere else ----------------------
# All settings in one hand.
$settings = @{
    ConnectorType            = 'Partner'            # a mail server that is not Exchange Online's own organisation
    RecipientDomains         = $ImeDomain           # only these domains; all other mail goes its way as before
    UseMXRecord              = $false               # by name, not by MX
    SmartHosts               = $GatewayName         # the gateway, always on port 25
    TlsSettings              = 'DomainValidation'   # encrypted, with a certificate of a public CA
    TlsDomain                = $GatewayName         # and for this name
    CloudServicesMailEnabled = $false               # organisation headers stay at home
    Comment                  = $Comment             # whose it is
}
# The connector of this name, if there is one.
$found = Get-OutboundConnector | Where-Object { $_.Name -eq '<<outbound_name>>' }
# Stop when it is somebody else's.
Assert-Ours -Found $found -Comment ([string] $found.Comment) -What "The outbound connector '<<outbound_name>>'"
# With -WhatIf this only tells what would be done.
if ($PSCmdlet.ShouldProcess('<<outbound_name>>', "make the outbound connector to $GatewayName, or bring it up to date")) {
    # Get before New.
    if ($found) { Set-OutboundConnector -Identity '<<outbound_name>>' @settings -ErrorAction Stop } else { New-OutboundConnector -Name '<<outbound_name>>' @settings -ErrorAction Stop | Out-Null }
    # Done.
    Write-Step "outbound connector for $($ImeDomain -join ', ') to $GatewayName"
}
# --- The way back: two doors for the gateway alone, because mail from inside and from outside deserve different trust
# Addresses from which mail from outside may come.
$outsideAddress = @($GatewayAddress | Where-Object { $InsideAddress -notcontains $_ })
# Both doors, from the trusted to the ordinary one.
$doors = @(
    # return_to: only when it has an address of its own.
    @{
        Name                    = '<<inside_name>>'    # shown in message traces
        SenderDomains           = $ManagedDomain       # only your own senders
        SenderIPAddresses       = $InsideAddress       # the gateway's address stands for authentication
        TreatMessagesAsInternal = $true                # colleagues, not strangers; no spam filter
    }
    # deliver_to: mail that strangers sent. It gets the same suspicion as ever.
    @{
        Name                    = '<<outside_name>>'   # shown in message traces
        SenderDomains           = @('*')               # everybody writes to your users
        SenderIPAddresses       = $outsideAddress      # but only by way of the gateway
        TreatMessagesAsInternal = $false               # strangers stay strangers
        EFSkipIPs               = $outsideAddress      # the spam filter looks at the hop before the gateway
    }
)
# Each door.
foreach ($door in $doors) {
    # Without an address of its own there is no trusted door: mail from inside then comes as strangers' mail does.
    if ($door.SenderIPAddresses.Count -eq 0) { continue }
    # The connector of this name, if there is one.
    $found = Get-InboundConnector | Where-Object { $_.Name -eq $door.Name }
    # Stop when it is somebody else's.
    Assert-Ours -Found $found -Comment ([string] $found.Comment) -What "The inbound connector '$($door.Name)'"
    # What both doors have in common.
    $settings = @{
        ConnectorType            = 'OnPremises'  # the mail belongs to this organisation, wherever it came from
        RequireTls               = $true         # the reference promises it for partners only; the gateway encrypts by itself
        CloudServicesMailEnabled = $false        # nobody brings organisation headers along
        Comment                  = $Comment      # whose it is
    }
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess($door.Name, 'make the inbound connector, or bring it up to date')) {
        # Get before New.
        if ($found) { Set-InboundConnector -Identity $door.Name @door @settings -ErrorAction Stop } else { New-InboundConnector @door @settings -ErrorAction Stop | Out-Null }
        # Done.
        Write-Step "inbound connector '$($door.Name)' for $($door.SenderIPAddresses -join ', ') only"
    }
}
"""  # noqa: E501 - lines of the script
_STALE: Final = """\
# A trusted door that was made once and has no address any more would stay open.
$stale = Get-InboundConnector | Where-Object { $_.Name -eq '<<inside_name>>' }
# Only when no address was given this time.
if ($stale -and $InsideAddress.Count -eq 0) {
    # Stop when it is somebody else's.
    Assert-Ours -Found $stale -Comment ([string] $stale.Comment) -What "The inbound connector '<<inside_name>>'"
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess('<<inside_name>>', 'remove the inbound connector, because it has no address any more')) {
        # No question: it was just said that it is not wanted.
        Remove-InboundConnector -Identity '<<inside_name>>' -Confirm:$false -ErrorAction Stop
        # Done.
        Write-Step "inbound connector '<<inside_name>>' was removed, because InsideAddress is empty"
    }
}
"""  # noqa: E501 - lines of the script
_END: Final = """\
# --- Done ---------------------------------------------------------------------------------------------------------
# Whoever only asked is not told that anything was done.
if ($WhatIfPreference) { Write-Host 'Nothing was changed. Read what is above; then run this script without -WhatIf.'; return }
# The contact must be seen before the test mails can prove it.
Write-Host 'Done. Rules may take an hour to act everywhere. Then go on in README.txt, part 2, with the line below the one of this script.'
"""  # noqa: E501 - lines of the script


def exchange_online(facts: KitFacts, contacts: Mapping[str, Mapping[str, str]]) -> str:
    """The text of 20-exchange-online.ps1; `contacts` by folder as `contact_lines` takes them."""
    # The remote domain before the route, so that no first mail is TNEF.
    parts = (_HEAD, STRICT, OURS, _DATA, BEFORE + _CHECKS, NOT_ACCEPTED, REMOVERS, REMOTE_DOMAINS, _CONNECTORS, _STALE)
    names = {"outbound_name": OUTBOUND_NAME, "inside_name": INSIDE_NAME, "outside_name": OUTSIDE_NAME}
    values = common_values(facts, facts.public_addresses) | {"managed": listed(facts.managed)}
    text = filled(with_names("\n".join(parts), names), values)
    published = contact_lines(contacts) + "\n" + ONLINE if contacts else ""
    return "\n".join(part for part in (text, rules_section(facts), published, _END) if part)
