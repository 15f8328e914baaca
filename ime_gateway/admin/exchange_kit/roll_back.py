"""The scripts that take everything away again: only what carries our mark, and never so that mail leaves in clear.

Without its route, mail to internal encryption would go the way of all other mail, readable, to whatever smart host
serves the Internet. So a roll-back first makes a rule that refuses such mail and ends, because rules need a while to
act everywhere (half an hour or more in Exchange Online; the directory must replicate on-premises); the second run takes
the route away; the third, when the add-in is gone from the desks, the refusal.
"""

from typing import Final

from ime_gateway.admin.exchange_kit.exchange_online import OUTBOUND_NAME
from ime_gateway.admin.exchange_kit.facts import KitFacts
from ime_gateway.admin.exchange_kit.on_premises import SEND_NAME
from ime_gateway.admin.exchange_kit.powershell import filled, listed, remark, with_names
from ime_gateway.admin.exchange_kit.remote_domain_names import remote_domain_lines
from ime_gateway.admin.exchange_kit.rules_section import REFUSAL
from ime_gateway.admin.exchange_kit.script_head import INSIDE_NAME, MARK, OURS, OUTSIDE_NAME, PREFIX, STRICT

_HEAD: Final = """\
#Requires -Version 5.1
<#
.SYNOPSIS
    Takes away from <<where>> what <<script>> of the gateway <<name_remark>> made.
.DESCRIPTION
    Run it where <<script>> was run, first with -WhatIf. It removes only objects that carry the mark of this kit; what
    others made stays. Three runs, so that no mail leaves in clear:
    1. It makes one rule, '<<refusal>>', and ends: rules need a while to act everywhere.
    2. After an hour, run it again: connectors, rules and remote domains go; mail of add-ins is refused. Sooner it
       stops, unless -Now says that the rule acts everywhere already.
    3. When no add-in sends any more, run it with -Everything: the refusal and the contacts go, too.
    <<mark>> at <<made_at>>.
.PARAMETER Everything
    The third run: also remove the rule that refuses mail to internal encryption, and the contacts of the IME addresses.
.PARAMETER Now
    Do not wait for the hour since the first run: a test mail to internal encryption was refused at each server.
.EXAMPLE
    .\\<<own_name>> -WhatIf
.EXAMPLE
    .\\<<own_name>> -Everything
#>
# -WhatIf works as with every cmdlet; -Confirm asks before each step.
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'Medium')]
# What may be given.
param(
    [switch] $Everything, # the last step
    [switch] $Now         # the rule of the first run acts everywhere
)
"""
_DATA: Final = """\
# --- What the gateway knows ---------------------------------------------------------------------------------------
# Mail to these domains is refused from now on.
$ImeDomain = <<ime_domains>>
# The contacts of these addresses were published.
$ImeAddress = <<ime_addresses>>
# The remote domains with their names in Exchange.
$RemoteDomainName = @{
<<remote_domains>>
}
# Stands in the rule that stays, with its moment (UTC, the same in each language of Windows).
$Comment = "$Mark, left by <<own_name>> at $([datetime]::UtcNow.ToString('u')). Remove it with -Everything when no add-in sends any more."
"""  # noqa: E501 - lines of the script
_CONNECTED: Final = """\
# The cmdlets below exist only <<shell>>.
if (-not (Get-Command -Name <<probe>> -ErrorAction SilentlyContinue)) { throw 'This shell does not know <<where>>. Nothing was changed. Run this script <<shell>>.' }
"""  # noqa: E501 - lines of the script
_REFUSE: Final = """\
# --- First: nothing may leave in clear when the route is gone -----------------------------------------------------
# The rule of this name, if there is one.
$refusal = Get-TransportRule | Where-Object { $_.Name -eq '<<refusal>>' }
# Stop when it is somebody else's.
Assert-Ours -Found $refusal -Comment ([string] $refusal.Comments) -What "The transport rule '<<refusal>>'"
# Whoever begins with the last step would open the way for readable mail.
if ($Everything -and -not $refusal -and @(<<route>> | Where-Object { $_.Name -eq '<<route_name>>' -and ([string] $_.Comment).StartsWith($Mark) }).Count -gt 0) { throw 'The route still stands and nothing refuses the mail that would lose it. Nothing was changed. Run this script without -Everything first.' }
# A rule that does not act everywhere yet refuses nothing there, and a route that is gone sends readable mail.
if ($refusal -and -not $Now -and ([string] $refusal.Comments) -match ' at (\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\dZ)') {
    # Since when the rule is there.
    $since = [datetime]::Parse($Matches[1], [Globalization.CultureInfo]::InvariantCulture, 'AdjustToUniversal')
    # How old it is, by the clock of this computer.
    $minutes = [int] ([datetime]::UtcNow - $since).TotalMinutes
    # What is too early, and what to do.
    $early = "The rule that refuses such mail was made $minutes minutes ago and may not act everywhere yet. Nothing was changed. Run this script again an hour after that, or with -Now."
    # With -WhatIf the rest is told all the same.
    if ($minutes -lt 60 -and $WhatIfPreference) { Write-Warning $early }
    # Otherwise nothing is taken away.
    if ($minutes -lt 60 -and -not $WhatIfPreference) { throw $early }
}
# Get before New.
if (-not $refusal -and -not $Everything) {
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess('<<refusal>>', 'make the transport rule')) {
        # All settings in one hand.
        $rule = @{
            Name                    = '<<refusal>>'  # one rule, one purpose
            RecipientDomainIs       = $ImeDomain     # mail to internal encryption
            RejectMessageReasonText = 'Internal encryption is switched off at the moment. Nothing was sent. Ask your help desk how to send this mail.'  # at most 256 characters
            RuleErrorAction         = 'Defer'        # never send because a rule failed
            Priority                = 0              # before all other rules
            Comments                = $Comment       # whose it is
        }
        # As soon as it acts, such mail is refused; until then it goes to the gateway as before.
        New-TransportRule @rule -ErrorAction Stop | Out-Null
        # Done.
        Write-Step 'mail to internal encryption will be refused'
        # What comes next.
        Write-Host 'Rules may take an hour to act everywhere. Nothing else was changed. Run this script again then.'
    }
    # With -WhatIf the rest is told, too; otherwise nothing is taken away before the rule acts.
    if (-not $WhatIfPreference) { return }
}
"""  # noqa: E501 - lines of the script
_RULES: Final = """\
# --- The transport rules ------------------------------------------------------------------------------------------
# All rules of this kit.
foreach ($rule in @(Get-TransportRule | Where-Object { $_.Name.StartsWith('<<prefix>>') -and ([string] $_.Comments).StartsWith($Mark) })) {
    # The refusal stays until -Everything is given.
    if ($rule.Name -eq '<<refusal>>' -and -not $Everything) { continue }
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess($rule.Name, 'remove the transport rule')) {
        # No second question.
        Remove-TransportRule -Identity $rule.Name -Confirm:$false -ErrorAction Stop
        # Done.
        Write-Step "transport rule '$($rule.Name)' was removed"
    }
}
"""  # noqa: E501 - lines of the script
_REST: Final = """\
# --- The remote domains -------------------------------------------------------------------------------------------
# Each of this kit, and of earlier ones for domains that are gone: name and domain together say whose they are.
foreach ($remote in @(Get-RemoteDomain | Where-Object { $_.Name -eq '<<prefix>>' + $_.DomainName -or ($RemoteDomainName.Keys -contains [string] $_.DomainName -and $_.Name -eq $RemoteDomainName[[string] $_.DomainName]) })) {
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess($remote.Name, 'remove the remote domain')) {
        # No second question.
        Remove-RemoteDomain -Identity $remote.Name -Confirm:$false -ErrorAction Stop
        # Done.
        Write-Step "remote domain '$($remote.Name)' was removed"
    }
}
# --- The contacts, at the very end: as long as add-ins send, they look for them ------------------------------------
# None unless -Everything was given.
foreach ($address in @($ImeAddress | Where-Object { $Everything })) {
    # An apostrophe in the address must not end the filter.
    $quoted = $address.Replace("'", "''")
    # Only a mail contact can be ours.
    foreach ($contact in @(Get-Recipient -Filter "EmailAddresses -eq '$quoted'" | Where-Object { [string] $_.RecipientType -eq 'MailContact' })) {
        # The mark stands in the notes; without it somebody else keeps the contact.
        if (-not ([string] (Get-Contact -Identity $contact.DistinguishedName).Notes).StartsWith($Mark)) { continue }
        # With -WhatIf this only tells what would be done.
        if ($PSCmdlet.ShouldProcess($address, 'remove the contact')) {
            # No second question.
            Remove-MailContact -Identity $contact.DistinguishedName -Confirm:$false -ErrorAction Stop
            # Done.
            Write-Step "contact '$($contact.Name)' was removed"
        }
    }
}
# --- Done ---------------------------------------------------------------------------------------------------------
# Whoever only asked is not told that anything was done.
if ($WhatIfPreference) { Write-Host 'Nothing was changed. Read what is above; then run this script without -WhatIf.'; return }
# What is left to do.
Write-Host 'Done. As long as the rule "<<refusal>>" is there, add-ins that still send are told so.'
"""  # noqa: E501 - lines of the script
_CONNECTOR: Final = """\
# Each <<kind>> of this kit.
foreach ($connector in @(<<get>> | Where-Object { <<names>> -contains $_.Name -and ([string] $_.Comment).StartsWith($Mark) })) {
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess([string] $connector.Identity, 'remove the <<kind>>')) {
        # No second question.
        <<remove>> -Identity $connector.Identity -Confirm:$false -ErrorAction Stop
        # Done.
        Write-Step "<<kind>> '$($connector.Identity)' was removed"
    }
}
"""  # noqa: E501 - lines of the script
_CONNECTORS: Final = """\
# --- The connectors: the way there first, the way back last, so that what is under way still arrives ---------------
"""


def roll_back_on_premises(facts: KitFacts) -> str:
    """The text of 11-rollback-on-premises.ps1."""
    values = _values(facts, "11-rollback-on-premises.ps1") | {
        "where": "Exchange Server",
        "script": "10-on-premises.ps1",
        "shell": "in the Exchange Management Shell",
        "probe": "Get-SendConnector",
        "route": "Get-SendConnector",
        "route_name": SEND_NAME,
    }
    there = _connector("send connector", "SendConnector", (SEND_NAME,))
    return _script(values, there + _connector("receive connector", "ReceiveConnector", (INSIDE_NAME, OUTSIDE_NAME)))


def roll_back_online(facts: KitFacts) -> str:
    """The text of 21-rollback-exchange-online.ps1."""
    values = _values(facts, "21-rollback-exchange-online.ps1") | {
        "where": "Exchange Online",
        "script": "20-exchange-online.ps1",
        "shell": "after Connect-ExchangeOnline",
        "probe": "Get-InboundConnector",
        "route": "Get-OutboundConnector",
        "route_name": OUTBOUND_NAME,
    }
    there = _connector("outbound connector", "OutboundConnector", (OUTBOUND_NAME,))
    return _script(values, there + _connector("inbound connector", "InboundConnector", (INSIDE_NAME, OUTSIDE_NAME)))


def _script(values: dict[str, str], connectors: str) -> str:
    parts = (_HEAD, STRICT, OURS, _DATA, _CONNECTED, _REFUSE)
    text = with_names("\n".join(parts), {"refusal": REFUSAL})
    return "\n".join((filled(text, values), _CONNECTORS + connectors, filled(_RULES + _REST, values)))


def _connector(kind: str, noun: str, names: tuple[str, ...]) -> str:
    return filled(_CONNECTOR, {"kind": kind, "get": f"Get-{noun}", "remove": f"Remove-{noun}", "names": listed(names)})


def _values(facts: KitFacts, own_name: str) -> dict[str, str]:
    return {
        "name_remark": remark(facts.name),
        "mark": MARK,
        "made_at": facts.made_at,
        "own_name": own_name,
        "refusal": REFUSAL,
        "prefix": PREFIX,
        "ime_domains": listed(facts.ime_domains),
        "ime_addresses": listed(one.address for one in facts.ime_addresses),
        "remote_domains": remote_domain_lines(facts.ime_domains),
    }
