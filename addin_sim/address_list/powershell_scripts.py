"""The two PowerShell scripts after their common beginning: which Exchange this is, and what is written there.

Exchange Online takes the certificates of a mail contact by `Set-MailContact -UserCertificate -UserSMimeCertificate`
only; Exchange Server has these parameters not, there the certificates go into Active Directory by `Set-ADObject`
(both in Microsoft's reference of the Exchange cmdlets, Set-MailContact). Names in `@@` are filled in by `powershell`.
"""

ONLINE_PLACE = """\
# ---- Is this Exchange Online? ----
$command = Get-Command -Name Set-MailContact -ErrorAction SilentlyContinue  # there after Connect-ExchangeOnline
if ($null -eq $command) {                                 # not connected, or no right to recipients
    throw 'There is no Set-MailContact here. Nothing was changed; run Connect-ExchangeOnline first.'
}
if (-not $command.Parameters.ContainsKey('UserCertificate')) {  # Exchange Server has no such parameter
    throw 'This Exchange takes no certificate by Set-MailContact. Nothing was changed; use @@OTHER_FILE@@ on a server.'
}

"""

ONLINE_WRITE = """\
# ---- Is it ours to change? ----
if ($null -ne $identity) {                                # it exists
    $current = Get-MailContact -Identity $identity        # all of it
    if ($current.IsDirSynced) {                           # its master is the company's own directory
        throw ('{0} is kept in step with the directory on premises. Nothing was changed; publish it there.' -f $Address)
    }
    $same = ($current.DisplayName -ceq $DisplayName) -and  # the name is right
        ([string] $current.ExternalEmailAddress -eq ('SMTP:' + $Address)) -and  # so is the address
        ([string] $current.UseMapiRichTextFormat -eq 'Never') -and  # and the format
        (-not $current.HiddenFromAddressListsEnabled) -and  # it is shown
        (Test-OnlyValue $current.UserCertificate $Certificate) -and  # the certificate is the new one
        (Test-OnlyValue $current.UserSMimeCertificate $SmimeValue)  # and so is the signed value
    if ($same) {                                          # nothing to do
        Write-Output ('The contact {0} is as wanted already; nothing was changed.' -f $Address)
        return
    }
}

# ---- Make it, if it is not there ----
if ($null -eq $identity -and $PSCmdlet.ShouldProcess($Address, 'New-MailContact')) {  # with -WhatIf only said
    $new = @{                                             # what it is made of
        Name                   = $Name                    # unique in the organisation
        DisplayName            = $DisplayName             # what the address list shows
        Alias                  = $Alias                   # without it Exchange would make one up
        ExternalEmailAddress   = $Address                 # where Exchange sends: through the connector to the gateway
        UsePreferMessageFormat = $true                    # the two formats below count, whatever the domain's rule is
        MessageFormat          = 'Mime'                   # Internet mail
        MessageBodyFormat      = 'TextAndHtml'            # as it was written
    }
    $made = New-MailContact @new -Confirm:$false          # an error here means: nothing was made
    $identity = [string] $made.Guid                       # the new one
    Write-Output ('The contact {0} is there; its certificates follow.' -f $Address)  # what was done
    $tries = 0                                            # Exchange Online shows a new object a little later
    while ($tries -lt 12) {                               # a minute in all
        $shown = Get-MailContact -Identity $identity -ErrorAction SilentlyContinue  # an error is no error here
        if ($null -ne $shown) { break }                   # it is there
        $tries = $tries + 1                               # one more
        Start-Sleep -Seconds 5                            # then look again
    }
}
if ($null -eq $identity -and -not $WhatIfPreference) { return }  # you answered No

# ---- Name, format and both certificates, in one command: an old signed value would beat a new certificate ----
if ($PSCmdlet.ShouldProcess($Address, 'Set-MailContact with both certificates')) {  # with -WhatIf only said
    $certificates = New-Object System.Collections.ArrayList  # a list of byte arrays; a bare array would be taken apart
    [void] $certificates.Add($Certificate)                # one value only
    $smimeValues = New-Object System.Collections.ArrayList  # the same for the signed value
    [void] $smimeValues.Add($SmimeValue)                  # one value only
    $set = @{                                             # what it must look like
        Identity                      = $identity         # the contact found or made above
        DisplayName                   = $DisplayName      # what the address list shows
        ExternalEmailAddress          = $Address          # where Exchange sends
        UseMapiRichTextFormat         = 'Never'           # a winmail.dat would hide the container from the gateway
        HiddenFromAddressListsEnabled = $false            # Outlook looks for it in the list
        UserCertificate               = $certificates     # replaces what was there
        UserSMimeCertificate          = $smimeValues      # replaces what was there
    }
    try { Set-MailContact @set -Confirm:$false }          # all or nothing
    catch {
        throw ('The contact {0} exists without its new certificates: {1} Run this script again.' -f $Address, $_)
    }
    Write-Output ('The contact {0} is published with certificate {1}.' -f $Address, $Expected)
    $now = Get-MailContact -Identity $identity            # what Exchange shows by now
    $same = (Test-OnlyValue $now.UserCertificate $Certificate) -and  # the certificate
        (Test-OnlyValue $now.UserSMimeCertificate $SmimeValue)  # and the signed value
    if (-not $same) {                                     # it may need some minutes
        Write-Warning ('This session does not see the certificates of {0} yet; run this again later.' -f $Address)
    }
    Write-Output 'Outlook in cached mode sees it when it fetches its address book, usually within a day.'
}
"""

SERVER_PLACE = """\
# ---- Is this Exchange Server, with the directory at hand? ----
$command = Get-Command -Name New-MailContact -ErrorAction SilentlyContinue  # there in the Exchange Management Shell
if ($null -eq $command) {                                 # not the right shell, or no right to recipients
    throw 'There is no New-MailContact here. Nothing was changed; use the Exchange Management Shell.'
}
if (-not $command.Parameters.ContainsKey('DomainController')) {  # only a server has it
    throw 'This is Exchange Online. Nothing was changed; use @@OTHER_FILE@@.'
}
if ($null -eq (Get-Module -ListAvailable -Name ActiveDirectory)) {  # it writes the certificates
    throw 'The ActiveDirectory module is missing. Nothing was changed; run: Install-WindowsFeature RSAT-AD-PowerShell'
}
Import-Module -Name ActiveDirectory                       # Get-ADObject and Set-ADObject

"""

SERVER_WRITE = """\
# ---- Make it, if it is not there ----
$server = $null                                           # the domain controller that has the newest copy
if ($null -eq $identity -and $PSCmdlet.ShouldProcess($Address, 'New-MailContact')) {  # with -WhatIf only said
    $new = @{                                             # what it is made of
        Name                   = $Name                    # unique in its place
        DisplayName            = $DisplayName             # what the address list shows
        Alias                  = $Alias                   # without it Exchange would make one up
        ExternalEmailAddress   = $Address                 # where Exchange sends: through the connector to the gateway
        PrimarySmtpAddress     = $Address                 # and no address policy gives it another one
        UsePreferMessageFormat = $true                    # the two formats below count, whatever the domain's rule is
        MessageFormat          = 'Mime'                   # Internet mail
        MessageBodyFormat      = 'TextAndHtml'            # as it was written
@@PLACE@@
    }
    $made = New-MailContact @new -Confirm:$false          # an error here means: nothing was made
    $identity = [string] $made.Guid                       # the new one
    $server = [string] $made.OriginatingServer            # other domain controllers do not know it yet
    Write-Output ('The contact {0} is there; its certificates follow.' -f $Address)  # what was done
}
if ($null -eq $identity -and -not $WhatIfPreference) { return }  # you answered No
if ($null -ne $identity -and $null -eq $server) {         # it was there before
    $server = [string] (Get-MailContact -Identity $identity).OriginatingServer  # everything below on one controller
}

# ---- Name, format and visibility ----
$current = $null                                          # the contact as it is; with -WhatIf there may be none
$same = $false                                            # is all as wanted?
if ($null -ne $identity) {                                # it exists
    $current = Get-MailContact -Identity $identity -DomainController $server  # all of it
    $same = ($current.DisplayName -ceq $DisplayName) -and  # the name is right
        ([string] $current.UseMapiRichTextFormat -eq 'Never') -and  # so is the format
        (-not $current.EmailAddressPolicyEnabled) -and    # no policy gives it an address of your own domain
        (-not $current.HiddenFromAddressListsEnabled)     # it is shown
}
$changed = $false                                         # was anything done?
if (-not $same -and $PSCmdlet.ShouldProcess($Address, 'Set-MailContact')) {  # with -WhatIf only said
    $set = @{                                             # what it must look like
        Identity                      = $identity         # the contact found or made above
        DomainController              = $server           # the same one all the time
        DisplayName                   = $DisplayName      # what the address list shows
        ExternalEmailAddress          = $Address          # where Exchange sends
        EmailAddressPolicyEnabled     = $false            # no policy gives it an address of your own domain
        UseMapiRichTextFormat         = 'Never'           # a winmail.dat would hide the container from the gateway
        HiddenFromAddressListsEnabled = $false            # Outlook looks for it in the list
    }
    Set-MailContact @set -Confirm:$false                  # Exchange also fills showInAddressBook by this
    $changed = $true                                      # something was done
    Write-Output ('The name and the format of {0} are set.' -f $Address)  # what was done
}

# ---- Both certificates, in one change of the directory: an old signed value would beat a new certificate ----
$attributes = @('userCertificate', 'userSMIMECertificate')  # the two belong together
$path = $null                                             # its place in the directory
$same = $false                                            # are both as wanted?
if ($null -ne $current) {                                 # it exists
    $path = $current.DistinguishedName                    # its place
    $entry = Get-ADObject -Identity $path -Server $server -Properties $attributes  # what the directory holds now
    $same = (Test-OnlyValue $entry.userCertificate $Certificate) -and  # the certificate is the new one
        (Test-OnlyValue $entry.userSMIMECertificate $SmimeValue)  # and so is the signed value
}
if ($same) {                                              # nothing to do
    if ($changed) { Write-Output ('The certificates of {0} are as wanted already.' -f $Address) }  # only they
    else { Write-Output ('The contact {0} is as wanted already; nothing was changed.' -f $Address) }  # all of it
    return
}
if ($PSCmdlet.ShouldProcess($Address, 'Set-ADObject with both certificates')) {  # with -WhatIf only said
    $values = @{                                          # one value each
        userCertificate      = $Certificate               # replaces what was there
        userSMIMECertificate = $SmimeValue                # replaces what was there
    }
    try { Set-ADObject -Identity $path -Server $server -Replace $values -Confirm:$false }  # all or nothing
    catch {
        throw ('The contact {0} exists without its new certificates: {1} Run this script again.' -f $Address, $_)
    }
    $entry = Get-ADObject -Identity $path -Server $server -Properties $attributes  # what counts is what is there
    $same = (Test-OnlyValue $entry.userCertificate $Certificate) -and  # the certificate
        (Test-OnlyValue $entry.userSMIMECertificate $SmimeValue)  # and the signed value
    if (-not $same) {                                     # Outlook might take a wrong one
        throw ('The certificates of {0} are not there as they were written; look at {1}.' -f $Address, $path)
    }
    Write-Output ('The contact {0} is published with certificate {1}.' -f $Address, $Expected)
    Write-Output 'Outlook in cached mode sees it with the next offline address book (Update-OfflineAddressBook).'
}
"""
