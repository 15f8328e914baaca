"""What both PowerShell scripts begin with: the contact as data, a look at it, and whose the address is already.

A script travels by mail and lies about for months, so it checks itself first: the certificate by its thumbprint, and
its last day. It touches one mail contact alone, that of the IME address. Names in `@@` are filled in by `powershell`.
"""

HEAD = """\
#Requires -Version 5.1
# @@MARK@@
# @@TITLE@@
# Address: @@ADDRESS_TEXT@@
# Look first:  .\\@@FILE@@ -WhatIf
# Do it:       .\\@@FILE@@
# Take away:   .\\@@FILE@@ -Remove
# If PowerShell does not run files that came by mail:  Unblock-File .\\@@FILE@@
# It may be run again at any time: what is as wanted already is left alone. It never touches another object.

[CmdletBinding(SupportsShouldProcess = $true)]            # gives the script -WhatIf, -Confirm and -Verbose
param(
    [switch] $Remove                                      # take the contact away instead of publishing it
)
Set-StrictMode -Version 1.0                               # a misspelt variable is an error, not an empty value
$ErrorActionPreference = 'Stop'                           # the first error ends the script

# ---- What is published. Only data: it is never run, whatever a name contains. ----
# The IME address; InternalRecipient names it too
$Address = @@ADDRESS@@
# Begins with _ : the add-in finds it early in the list
$DisplayName = @@DISPLAY_NAME@@
# The object's own name, unique in the organisation
$Name = @@NAME@@
# Exchange's short name for it, unique as well
$Alias = @@ALIAS@@
# Finds every recipient that has the address
$Filter = @@FILTER@@
# SHA-256 thumbprint of the certificate
$Expected = @@THUMBPRINT@@
# Last moment of the certificate (UTC)
$ValidUntil = [datetime]::new(@@VALID_UNTIL@@, [DateTimeKind]::Utc)
$Certificate = [Convert]::FromBase64String((@(            # the value of userCertificate (DER)
@@CERTIFICATE@@
) -join ''))                                              # one text again, and bytes
$SmimeValue = [Convert]::FromBase64String((@(             # the value of userSMIMECertificate; Outlook reads it first
@@SMIME_VALUE@@
) -join ''))                                              # one text again, and bytes

# ---- Is this file whole, and is the certificate still good? ----
$sha256 = [Security.Cryptography.SHA256]::Create()        # computes the thumbprint
$actual = [BitConverter]::ToString($sha256.ComputeHash($Certificate)).Replace('-', '')  # as 64 digits
if ($actual -ne $Expected) {                              # the file was changed on its way
    throw 'The certificate in this file is damaged. Nothing was changed; write the file again with addin-sim publish.'
}
if (-not $Remove -and [datetime]::UtcNow -gt $ValidUntil) {  # Outlook would not use it
    throw 'The certificate has expired. Nothing was changed; renew the key and publish anew.'
}

# True when $Values is exactly the one value $Wanted; false when it is not, or cannot be read in this session.
function Test-OnlyValue($Values, [byte[]] $Wanted) {
    if ($null -eq $Values) { return $false }              # there is none yet
    if ($Values -is [byte[]]) { $list = @(, $Values) }    # one value that came without its list
    else { $list = @($Values) }                           # a list of values
    if ($list.Count -ne 1) { return $false }              # old values must go: Outlook might take them
    $value = $list[0]                                     # the only one
    try {
        if ($value -is [string]) { $value = [Convert]::FromBase64String($value) }  # some sessions hand out text
        return [Convert]::ToBase64String([byte[]] $value) -ceq [Convert]::ToBase64String($Wanted)  # byte by byte
    }
    catch { return $false }                               # unreadable: it is written again, which does no harm
}

"""

FIND = """\
# ---- Who has the address now? ----
Write-Output ('Looking for {0}.' -f $Address)             # what happens now
$found = @(Get-Recipient -Filter $Filter -ResultSize 5)   # everybody, not contacts alone
if ($found.Count -gt 1) {                                 # which one is meant cannot be known
    $names = ($found | ForEach-Object { $_.Identity }) -join '; '  # their names, to look them up
    throw ('Several recipients have the address {0}: {1}. Nothing was changed; leave one of them.' -f $Address, $names)
}
if ($found.Count -eq 1 -and $found[0].RecipientTypeDetails -ne 'MailContact') {  # a mailbox, group or user
    $owner = $found[0].Identity                           # whose address it is
    throw ('{0} belongs to {1}, which is no mail contact. Nothing was changed; free the address.' -f $Address, $owner)
}
if ($found.Count -eq 1 -and [string] $found[0].ExternalEmailAddress -ne ('SMTP:' + $Address)) {  # it is one of several
    $who = $found[0].Identity                             # whose address it is
    $where = $found[0].ExternalEmailAddress               # where that contact's mail goes
    throw ('{0} belongs to {1} with mail to {2}. Nothing was changed; free the address.' -f $Address, $who, $where)
}
$identity = $null                                         # the contact; none yet
if ($found.Count -eq 1) { $identity = [string] $found[0].Guid }  # a name that no other object can have

# ---- Take it away, if that is asked ----
if ($Remove) {
    if ($null -eq $identity) {                            # nothing to do
        Write-Output ('There is no contact {0}; nothing was changed.' -f $Address)
        return
    }
    if ($PSCmdlet.ShouldProcess($Address, 'Remove-MailContact')) {  # with -WhatIf only said
        Remove-MailContact -Identity $identity -Confirm:$false  # this contact and nothing else
        Write-Output ('The contact {0} is gone. Outlook shows it until it fetches its address book.' -f $Address)
    }
    return
}

"""
