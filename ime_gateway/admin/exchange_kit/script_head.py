"""The beginnings of all scripts: how they speak, and how they keep their hands off what others made.

Objects are looked for by their whole name in the full list, never by `-Identity`: the reference warns that an
Identity that does not exist can return every object. What carries our name but not our mark, or what serves the same
purpose under another name, belongs to somebody else: the script stops before it changes anything.
"""

from typing import Final

MARK: Final = "Made by ime-gateway exchange-kit"
"""Begins the comment of each object that has one; only such objects are changed or removed."""
PREFIX: Final = "ime-gateway - "
"""Begins the name of each object; a colon could be taken for something else in the name of a rule."""
INSIDE_NAME: Final = f"{PREFIX}mail from inside"
OUTSIDE_NAME: Final = f"{PREFIX}mail from outside"
"""The doors for mail that comes back, in both worlds: by `return_to` (colleagues) and by `deliver_to` (strangers)."""

PROOF_HELP: Final = """\
.PARAMETER SharedSecret
    The secret after the colon of require_header in gateway.toml. It becomes part of a transport rule, where administrators of Exchange can read it.
"""  # noqa: E501 - lines of the script
PROOF_PARAM: Final = "    [Parameter(Mandatory = $true)] [string] $SharedSecret  # asked for when it is not given\n"

STRICT: Final = """\
# A misspelt variable is an error, not an empty value.
Set-StrictMode -Version 1.0
# The first error ends the script; what was done until then stays, and the script may simply be run again.
$ErrorActionPreference = 'Stop'
"""

OURS: Final = """\
# Begins the comment of each object that this kit made; without it an object is somebody else's.
$Mark = '<<mark>>'

# Stops with one sentence when an object of our name was made by somebody else.
function Assert-Ours {
    # What was found, its comment, and how people call it.
    param($Found, [string] $Comment, [string] $What)
    # Nothing there, or made by this kit: go on.
    if (-not $Found -or $Comment.StartsWith($Mark)) { return }
    # Somebody else's: say so, and touch nothing more.
    throw "$What exists already and was not made by this kit. It was left as it is. Rename or remove it, then run this script again."
}

# Tells in one line what was done.
function Write-Step {
    # The sentence.
    param([string] $Text)
    # Green, so that it stands out between the answers of Exchange.
    Write-Host "  $Text" -ForegroundColor Green
}
"""  # noqa: E501 - lines of the script

BEFORE: Final = """\
# --- Before anything is changed -----------------------------------------------------------------------------------
"""
NOT_ACCEPTED: Final = """\
# An accepted domain is delivered inside Exchange. If it covers a domain of internal encryption, the mail never leaves
# for the gateway.
foreach ($accepted in Get-AcceptedDomain) {
    # The name without the wildcard of "*.acme.example".
    $name = ([string] $accepted.DomainName).ToLowerInvariant().TrimStart('*').TrimStart('.')
    # True when the accepted domain stands for all domains below it, too.
    $below = ([string] $accepted.DomainName).StartsWith('*') -or $accepted.MatchSubDomains
    # Each domain that must go to the gateway.
    foreach ($domain in $ImeDomain) {
        # The very domain, or one below an accepted domain that covers them.
        if ($domain -eq $name -or ($below -and $domain.EndsWith(".$name"))) {
            # Nothing was changed yet.
            throw "The accepted domain $($accepted.Name) covers $domain, so Exchange would keep that mail. Nothing was changed. Narrow it down, then run this script again."
        }
    }
}
"""  # noqa: E501 - lines of the script

REMOVERS: Final = """\
# Transport rules of others that remove our headers would break internal encryption without a word: only warn.
foreach ($rule in Get-TransportRule) {
    # Rules of this kit remove headers on purpose.
    if (([string] $rule.Comments).StartsWith($Mark)) { continue }
    # What the add-in and the gateway write begins with one of these.
    if ([string] $rule.RemoveHeader -match '^(X-SM-|X-ESWmail-|X-IMEGW-)') {
        # The administrator decides.
        Write-Warning "The transport rule '$($rule.Name)' removes $($rule.RemoveHeader), which internal encryption needs. It was left as it is; look at it."
    }
}
"""  # noqa: E501 - lines of the script

REMOTE_DOMAINS: Final = """\
# --- Remote domains: how mail to internal encryption is written ---------------------------------------------------
# TNEF (winmail.dat) hides the mail from every other program and can carry the blind recipients; the gateway refuses it.
foreach ($domain in $RemoteDomainName.Keys) {
    # The name of the remote domain of this kit.
    $name = $RemoteDomainName[$domain]
    # Remote domains have no comment, so the name and the domain together say whose they are.
    $others = @(Get-RemoteDomain | Where-Object { $_.Name -ne $name -and [string] $_.DomainName -eq $domain })
    # Two remote domains for one domain are impossible.
    if ($others.Count -gt 0) { throw "The remote domain '$($others[0].Name)' for $domain was not made by this kit. It was left as it is. Set TNEFEnabled to `$false there yourself, or remove it and run this script again." }
    # Ours, if the script ran before.
    $found = @(Get-RemoteDomain | Where-Object { $_.Name -eq $name })
    # The right name for another domain is not ours.
    if ($found.Count -gt 0 -and [string] $found[0].DomainName -ne $domain) { throw "The remote domain '$name' is for $($found[0].DomainName), not for $domain. It was left as it is. Rename it, then run this script again." }
    # With -WhatIf this only tells what would be done.
    if ($PSCmdlet.ShouldProcess($domain, 'write plain MIME, never TNEF, and send no automatic mail there')) {
        # Get before New: the second run changes nothing.
        if ($found.Count -eq 0) { New-RemoteDomain -Name $name -DomainName $domain -ErrorAction Stop | Out-Null }
        # All settings in one hand.
        $settings = @{
            TNEFEnabled        = $false          # never winmail.dat
            ContentType        = 'MimeHtmlText'  # MIME in the form in which the user wrote
            LineWrapSize       = 'Unlimited'     # no folding of lines: it would break signatures
            AutoReplyEnabled   = $false          # no automatic replies to a machine
            AutoForwardEnabled = $false          # nobody's inbox rule feeds internal encryption
            AllowedOOFType     = 'None'          # no out-of-office mail to a machine
        }
        # The domain was made or found above.
        Set-RemoteDomain -Identity $name @settings -ErrorAction Stop
        # Done.
        Write-Step "remote domain for ${domain}: plain MIME"
    }
}
"""  # noqa: E501 - lines of the script
