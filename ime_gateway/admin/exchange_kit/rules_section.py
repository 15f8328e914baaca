"""The transport rules of both worlds: who may write to internal encryption, no loops, and our headers for insiders
only.

Exchange's own header firewall guards `X-MS-Exchange-Organization-*` and `-Forest-*` and nothing else, so no exception
from it is needed for our headers, and none is made: the right to bring organisation headers along is given to nobody.
These rules are the same idea for our headers. One rule removes one header (reference of New-TransportRule,
RemoveHeader).
"""

from ime_gateway.admin.exchange_kit.facts import KitFacts
from ime_gateway.admin.exchange_kit.header_lists import FROM_OUTSIDE, TO_OUTSIDE, TRACE, GuardedHeader
from ime_gateway.admin.exchange_kit.powershell import filled, quoted, with_names
from ime_gateway.admin.exchange_kit.script_head import PREFIX

REFUSAL = f"{PREFIX}refuse while there is no route"
"""The rule that a roll-back leaves behind."""
PROOF_RULE = f"{PREFIX}proof for the gateway"

_HEAD = """\
# --- Transport rules ----------------------------------------------------------------------------------------------
# Our headers on mail that nobody authenticated are forged; each line says what the header would make people believe.
$FromOutside = @(
<<from_outside>>
)
# Our headers on mail to outsiders tell them what is not theirs; the first three can name blind recipients.
$ToOutside = @(
<<to_outside>>
)
# The rules in their order; the first ones are asked first.
$rules = @(
    # Who may write: a device that relays without logging in must not pose as a user.
    @{
        Name                        = '<<prefix>>authenticated senders only'             # one rule, one purpose
        RecipientDomainIs           = $ImeDomain                                          # mail to internal encryption
        HeaderContainsMessageHeader = 'X-MS-Exchange-Organization-AuthAs'                 # Exchange writes it on all mail
        HeaderContainsWords         = 'Anonymous'                                         # nobody logged in
        RejectMessageReasonText     = 'Only authenticated senders of this organisation may use internal encryption. Nothing was sent.'  # at most 256 characters
        RuleErrorAction             = 'Defer'                                             # never send because a rule failed
    }
    # Loop guard: what went through the gateway once never goes to internal encryption again.
    @{
        Name                       = '<<prefix>>loop guard'                               # one rule, one purpose
        RecipientDomainIs          = $ImeDomain                                           # mail to internal encryption
        HeaderMatchesMessageHeader = '<<trace>>'                                          # the gateway writes it on each mail
        HeaderMatchesPatterns      = 'mac='                                               # part of its value, always
        RejectMessageReasonText    = 'This mail came from the encryption gateway and was sent back to it. It was stopped here, or it would go round in circles.'  # at most 256 characters
        RuleErrorAction            = 'Defer'                                              # never send because a rule failed
    }
)
"""  # noqa: E501 - lines of the script
_PROOF = """\
# The gateway demands a header with a secret on each mail; its name is in gateway.toml (require_header), its value is not here.
$rules += @{
    Name              = '<<proof_rule>>'             # one rule, one purpose
    RecipientDomainIs = $ImeDomain                    # mail to internal encryption only
    SetHeaderName     = <<secret_header>>  # the name that the gateway looks for
    SetHeaderValue    = $SharedSecret                 # the secret, as it was given to this script
    RuleErrorAction   = 'Defer'                       # never send because a rule failed
}
"""  # noqa: E501 - lines of the script
_LOOPS = """\
# One rule for each header that outsiders must not write.
foreach ($header in $FromOutside) {
    # Mail from the gateway itself is excepted: there they are genuine, and strangers' ones were removed by it.
    $rules += @{
        Name                        = "<<prefix>>keep out $header"   # at most 64 characters
        HeaderContainsMessageHeader = 'X-MS-Exchange-Organization-AuthAs'     # Exchange writes it on all mail
        HeaderContainsWords         = 'Anonymous'                             # nobody logged in
        ExceptIfSenderIpRanges      = $GatewayAddress                         # not what the gateway brings back
        RemoveHeader                = $header                                 # one rule removes one header
        RuleErrorAction             = 'Defer'                                 # rather later than forged
    }
}
# One rule for each header that outsiders must not see.
foreach ($header in $ToOutside) {
    # Mail to internal encryption is excepted: the gateway needs them there and removes them itself.
    $rules += @{
        Name                      = "<<prefix>>keep in $header"       # at most 64 characters
        SentToScope               = 'NotInOrganization'                       # mail that leaves the organisation
        ExceptIfRecipientDomainIs = $ImeDomain                                # not on the way to the gateway
        RemoveHeader              = $header                                   # one rule removes one header
        RuleErrorAction           = 'Defer'                                   # rather later than betrayed
    }
}
# All rules that there are, once: asking for each would take minutes.
$existing = @(Get-TransportRule)
# Where the next new rule goes: ours come first, in this order, and nobody else's rule can end the list before them.
$priority = 0
# Make or mend each.
foreach ($rule in $rules) {
    # The rule of this name, if there is one.
    $found = $existing | Where-Object { $_.Name -eq $rule.Name }
    # Stop when it is somebody else's.
    Assert-Ours -Found $found -Comment ([string] $found.Comments) -What "The transport rule '$($rule.Name)'"
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess($rule.Name, 'make the transport rule, or bring it up to date')) {
        # Get before New: the second run only writes the same settings again.
        if ($found) {
            # Its place in the list stays as it is.
            Set-TransportRule -Identity $rule.Name @rule -Comments $Comment -ErrorAction Stop
        } else {
            # Before the rules of others.
            New-TransportRule @rule -Comments $Comment -Priority $priority -ErrorAction Stop | Out-Null
        }
        # Done.
        Write-Step "transport rule '$($rule.Name)'"
    }
    # The next one stands below.
    $priority++
}
"""
_OLD_RULES = """\
# Rules of an earlier kit that this one has not any more.
foreach ($old in @($existing | Where-Object { $_.Name.StartsWith('<<prefix>>') -and ([string] $_.Comments).StartsWith($Mark) })) {
    # Those of this kit stay, and the refusal has its own end below.
    if (@($rules | ForEach-Object { $_.Name }) -contains $old.Name -or $old.Name -eq '<<refusal>>') { continue }
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess($old.Name, 'remove the transport rule, because this kit has it no more')) {
        # No question: the kit made it, and the kit takes it away.
        Remove-TransportRule -Identity $old.Name -Confirm:$false -ErrorAction Stop
        # Done.
        Write-Step "transport rule '$($old.Name)' was removed"
    }
}
"""  # noqa: E501 - lines of the script
_END_REFUSAL = """\
# A roll-back leaves a rule that refuses mail to internal encryption; now that there is a route again it must go.
$refusal = Get-TransportRule | Where-Object { $_.Name -eq '<<refusal>>' }
# There is one only after a roll-back.
if ($refusal) {
    # Stop when it is somebody else's.
    Assert-Ours -Found $refusal -Comment ([string] $refusal.Comments) -What "The transport rule '<<refusal>>'"
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess('<<refusal>>', 'remove the transport rule')) {
        # No question: the roll-back made it, and this script is its end.
        Remove-TransportRule -Identity '<<refusal>>' -Confirm:$false -ErrorAction Stop
        # Done.
        Write-Step 'the refusal of the last roll-back was removed'
    }
}
"""


def rules_section(facts: KitFacts) -> str:
    """The part of a script that makes the rules, and ends the refusal that a roll-back left."""
    template = "".join((_HEAD, _PROOF if facts.secret_header else "", _LOOPS, _OLD_RULES, _END_REFUSAL))
    names = {"prefix": PREFIX, "trace": TRACE, "refusal": REFUSAL}
    if facts.secret_header:
        names["proof_rule"] = PROOF_RULE
    return filled(
        with_names(template, names),
        {
            "from_outside": _lines(FROM_OUTSIDE),
            "to_outside": _lines(TO_OUTSIDE),
            "secret_header": quoted(facts.secret_header),
        },
    )


def _lines(headers: tuple[GuardedHeader, ...]) -> str:
    width = max(len(one.name) for one in headers) + 3
    last = headers[-1]
    return "\n".join(f"    {quoted(one.name) + ('' if one is last else ','):<{width}}  # {one.why}" for one in headers)
