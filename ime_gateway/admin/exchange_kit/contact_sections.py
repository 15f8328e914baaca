"""The contact of each IME address in the address list, by the cmdlets that can write certificates there.

On-premises no Exchange cmdlet writes them for a contact (Set-MailContact -UserCertificate is for the cloud only), so
Active Directory is asked; both attributes are replaced in one change, because in Outlook an old userSMIMECertificate
beats a new userCertificate.
"""

from collections.abc import Mapping
from typing import Final

from ime_gateway.admin.exchange_kit.powershell import filled, quoted

_DATA: Final = """\
# What is published: address, names and the folder with the certificate files, one line for each IME address.
$Contacts = @(
<<contacts>>
)
"""
_ALL: Final = """\
# --- The contacts of the address list -----------------------------------------------------------------------------
"""
_FIND: Final = """\
# Each IME address, unless somebody else publishes the contacts.
foreach ($contact in @($Contacts | Where-Object { -not $NoContact })) {
    # The files lie beside this script.
    $folder = Join-Path -Path $PSScriptRoot -ChildPath $contact.Folder
    # The certificate itself.
    [byte[]] $certificate = [System.IO.File]::ReadAllBytes((Join-Path -Path $folder -ChildPath 'userCertificate.der'))
    # The signed form, which Outlook prefers.
    [byte[]] $signed = [System.IO.File]::ReadAllBytes((Join-Path -Path $folder -ChildPath 'userSMIMECertificate.bin'))
    # An apostrophe in the address must not end the filter.
    $quoted = $contact.Address.Replace("'", "''")
    # Whoever has this address already, whatever it is.
    $found = @(Get-Recipient -Filter "EmailAddresses -eq '$quoted'"<<controller>>)
    # Twice: nobody can say which one Outlook would take.
    if ($found.Count -gt 1) { throw "$($contact.Address) belongs to $($found.Count) recipients. They were left as they are. Remove all but one, then run this script again." }
    # A mailbox or group of this address would keep the mail inside Exchange.
    if ($found.Count -eq 1 -and [string] $found[0].RecipientType -ne 'MailContact') { throw "$($contact.Address) belongs to '$($found[0].Name)', which is no mail contact. It was left as it is. Give that one another address, then run this script again." }
    # A contact has no comment, but it has notes, and ours begin with the mark.
    $notes = ''
    # Only when there is one.
    if ($found.Count -eq 1) { $notes = [string] (Get-Contact -Identity $found[0].DistinguishedName<<controller>>).Notes }
    # A contact of others, as of addin-sim publish, belongs to them.
    if ($found.Count -eq 1 -and -not $notes.StartsWith($Mark)) { throw "The contact '$($found[0].Name)' for $($contact.Address) was not made by this kit. It was left as it is; all is done but the contacts from this one on. Leave them all to whoever made it and run this script with -NoContact from now on, or remove it and run this script again." }
"""  # noqa: E501 - lines of the script
ON_PREMISES: Final = (
    _ALL
    + """\
# One domain controller for everything: on another one the new contact would not exist yet.
$controller = ''
# Not needed when somebody else publishes the contacts.
if (-not $NoContact) {
    # Active Directory's own cmdlets write the certificates; they come with the management tools of Windows Server.
    Import-Module -Name ActiveDirectory -ErrorAction Stop
    # The nearest one that takes changes.
    $controller = [string] @((Get-ADDomainController -Discover -Writable -ErrorAction Stop).HostName)[0]
}
"""
    + filled(_FIND, {"controller": " -DomainController $controller"})
    + """\
    # With -WhatIf this only tells what would be done.
    if (-not $PSCmdlet.ShouldProcess($contact.Address, 'publish the contact with its certificate')) { continue }
    # Where the contact is made, when it is not there.
    $place = @{}
    # Without -OrganizationalUnit Exchange takes the Users container.
    if ($OrganizationalUnit) { $place.OrganizationalUnit = $OrganizationalUnit }
    # Get before New.
    if ($found.Count -eq 0) { New-MailContact -Name $contact.Name -DisplayName $contact.DisplayName -Alias $contact.Alias -ExternalEmailAddress $contact.Address -DomainController $controller @place -ErrorAction Stop | Out-Null }
    # The contact by its address, so that a second one is never made.
    $made = @(Get-Recipient -Filter "EmailAddresses -eq '$quoted'" -DomainController $controller)[0]
    # From now on everybody sees whose it is, and the roll-back knows it.
    Set-Contact -Identity $made.DistinguishedName -Notes $Comment -DomainController $controller -ErrorAction Stop
    # All settings in one hand.
    $settings = @{
        DisplayName               = $contact.DisplayName  # begins with _, so that the add-in finds it on the first page
        EmailAddressPolicyEnabled = $false                # no address of your own domain beside the IME address
        UseMapiRichTextFormat     = 'Never'               # never winmail.dat
        UsePreferMessageFormat    = $true                 # these settings, whatever the sender prefers
        MessageFormat             = 'Mime'                # MIME
        MessageBodyFormat         = 'TextAndHtml'         # in the form in which the user wrote
    }
    # The mail side of the contact.
    Set-MailContact -Identity $made.DistinguishedName -DomainController $controller @settings -ErrorAction Stop
    # What is there now.
    $entry = Get-ADObject -Identity $made.DistinguishedName -Server $controller -Properties 'userCertificate', 'userSMIMECertificate' -ErrorAction Stop
    # The old values as text, because arrays of bytes cannot be compared.
    $before = @(@($entry.userCertificate) + @($entry.userSMIMECertificate) | Where-Object { $_ } | ForEach-Object { [System.Convert]::ToBase64String([byte[]] $_) })
    # The new ones likewise.
    $after = @([System.Convert]::ToBase64String($certificate), [System.Convert]::ToBase64String($signed))
    # Nothing to do when both are what they should be and there is nothing else.
    if (($before -join ' ') -ne ($after -join ' ')) {
        # Both in one change: between two changes Outlook would find a pair that does not belong together.
        Set-ADObject -Identity $made.DistinguishedName -Server $controller -Replace @{ userCertificate = $certificate; userSMIMECertificate = $signed } -ErrorAction Stop
        # Read again: what counts is what the directory holds.
        $entry = Get-ADObject -Identity $made.DistinguishedName -Server $controller -Properties 'userCertificate', 'userSMIMECertificate' -ErrorAction Stop
        # One value each, and the right one.
        $before = @(@($entry.userCertificate) + @($entry.userSMIMECertificate) | Where-Object { $_ } | ForEach-Object { [System.Convert]::ToBase64String([byte[]] $_) })
        # Anything else would let Outlook encrypt to a wrong certificate.
        if (($before -join ' ') -ne ($after -join ' ')) { throw "The directory does not hold the certificates of $($contact.Address) as they were written. Look at userCertificate and userSMIMECertificate of $($made.DistinguishedName), then run this script again." }
    }
    # Exchange puts the contact into the address lists.
    Update-Recipient -Identity $made.DistinguishedName -DomainController $controller -ErrorAction Stop
    # Done.
    Write-Step "contact '$($contact.DisplayName)' for $($contact.Address)"
}
"""  # noqa: E501 - lines of the script
)
ONLINE: Final = (
    _ALL
    + filled(_FIND, {"controller": ""})
    + """\
    # With -WhatIf this only tells what would be done.
    if (-not $PSCmdlet.ShouldProcess($contact.Address, 'publish the contact with its certificate')) { continue }
    # Get before New.
    if ($found.Count -eq 0) { New-MailContact -Name $contact.Name -DisplayName $contact.DisplayName -Alias $contact.Alias -ExternalEmailAddress $contact.Address -ErrorAction Stop | Out-Null }
    # From now on everybody sees whose it is, and the roll-back knows it.
    Set-Contact -Identity $contact.Address -Notes $Comment -ErrorAction Stop
    # All settings in one hand.
    $settings = @{
        DisplayName            = $contact.DisplayName  # begins with _, so that the add-in finds it on the first page
        UseMapiRichTextFormat  = 'Never'               # never winmail.dat
        UsePreferMessageFormat = $true                 # these settings, whatever the sender prefers
        MessageFormat          = 'Mime'                # MIME
        MessageBodyFormat      = 'TextAndHtml'         # in the form in which the user wrote
        UserCertificate        = @(, $certificate)     # the only value; the comma keeps the bytes together
        UserSMimeCertificate   = @(, $signed)          # replaced in the same change: an old one would beat the new certificate
    }
    # Only Exchange Online can write certificates of a contact by this cmdlet.
    Set-MailContact -Identity $contact.Address @settings -ErrorAction Stop
    # Done.
    Write-Step "contact '$($contact.DisplayName)' for $($contact.Address)"
}
"""  # noqa: E501 - lines of the script
)


def contact_lines(contacts: Mapping[str, Mapping[str, str]]) -> str:
    """The array `$Contacts`; `contacts` by folder, each with Address, DisplayName, Name and Alias."""
    lines = [
        "    @{ "
        + "; ".join(f"{key} = {quoted(value)}" for key, value in {**one, "Folder": folder}.items())
        + " }  # made by: ime-gateway ime export-contact"
        for folder, one in contacts.items()
    ]
    return filled(_DATA, {"contacts": "\n".join(lines)})
