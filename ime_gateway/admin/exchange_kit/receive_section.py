"""The two doors for mail that comes back to Exchange Server: one receive connector for each level of trust.

Mail from inside returns on a port of its own, where the gateway's address stands for authentication
(ExternalAuthoritative): Exchange shows senders as colleagues and filters no spam. Mail from outside comes on the
ordinary port as mail of strangers (design 6.5.6). Neither accepts organisation headers: `MS Exchange\\Externally
Secured Servers` lacks ms-Exch-Accept-Headers-Organization and -Forest. Sources: Microsoft's "Receive connectors"
(permission groups, authentication mechanisms, remote addresses) and New-ReceiveConnector: ExternalAuthoritative demands
ExchangeServers and goes with Tls only; RequireTLS demands Tls; where ranges overlap the most specific one wins;
TlsDomainCapabilities is for hybrid deployments only, so it is not used.
"""

from typing import Final

RECEIVE: Final = """\
# --- The way back: two doors for the gateway alone, because mail from inside and from outside deserve different trust
# Both doors, from the trusted to the ordinary one.
$doors = @(
    # return_to: mail that users of this organisation sent. The gateway checked who they are.
    @{
        Name             = '<<inside_name>>'             # shown in the protocol logs
        Port             = $InsidePort                   # a port of its own
        AuthMechanism    = 'Tls, ExternalAuthoritative'  # the gateway's address stands for authentication
        PermissionGroups = 'ExchangeServers'             # demanded by ExternalAuthoritative; organisation headers are still removed
    }
    # deliver_to: mail that strangers sent. It gets the same suspicion as ever.
    @{
        Name             = '<<outside_name>>'            # shown in the protocol logs
        Port             = $OutsidePort                  # the ordinary port
        AuthMechanism    = 'Tls'                         # encrypted, but no login
        PermissionGroups = 'AnonymousUsers'              # strangers; no relay to other domains
    }
)
# Each server.
foreach ($server in $servers) {
    # All receive connectors of this server, once.
    $connectors = @(Get-ReceiveConnector -Server $server)
    # Each door.
    foreach ($door in $doors) {
        # Without a port of its own there is no trusted door: mail from inside then comes as strangers' mail does.
        if ($door.Port.Count -eq 0) {
            # One that was made while there was a port would stay open; only ours is meant.
            $stale = $connectors | Where-Object { $_.Name -eq $door.Name -and ([string] $_.Comment).StartsWith($Mark) }
            # With -WhatIf this only tells what would be done.
            if ($stale -and $PSCmdlet.ShouldProcess("$server\\$($door.Name)", 'remove the receive connector, because it has no port any more')) {
                # No question: return_to has no port of its own any more.
                Remove-ReceiveConnector -Identity "$server\\$($door.Name)" -Confirm:$false -ErrorAction Stop
                # Done.
                Write-Step "receive connector '$($door.Name)' on $server was removed, because there is no port for mail from inside"
            }
            # Nothing to make here.
            continue
        }
        # All addresses of the server, IPv4 and IPv6, on each port.
        $bindings = @($door.Port | ForEach-Object { "0.0.0.0:$_"; "[::]:$_" })
        # Another connector with the gateway's very address on the same port would be in the way.
        foreach ($other in $connectors) {
            # Ours is brought up to date below.
            if ($other.Name -eq $door.Name) { continue }
            # The same ports, in whatever spelling.
            $samePort = @($other.Bindings | Where-Object { $door.Port -contains [int] (([string] $_) -replace '^.*:', '') })
            # The very address of the gateway; networks around it do not matter, because the narrower connector wins.
            $sameAddress = @($other.RemoteIPRanges | Where-Object { $GatewayAddress -contains [string] $_ })
            # Both: the administrator must decide which one is right.
            if ($samePort.Count -gt 0 -and $sameAddress.Count -gt 0) { throw "The receive connector '$($other.Name)' on $server takes mail from $($sameAddress[0]) on the same port. It was left as it is. Take that address out there, then run this script again." }
        }
        # All settings in one hand.
        $settings = @{
            Bindings             = $bindings                # where it listens
            RemoteIPRanges       = $GatewayAddress          # nobody but the gateway
            RequireTLS           = $true                    # never in clear
            AuthMechanism        = $door.AuthMechanism      # see above
            PermissionGroups     = $door.PermissionGroups   # see above
            MaxMessageSize       = $MaxMessageSize          # as large as the gateway takes
            ProtocolLoggingLevel = 'Verbose'                # the conversation can be read afterwards
            Comment              = $Comment                 # whose it is
        }
        # The connector of this name, if there is one.
        $found = $connectors | Where-Object { $_.Name -eq $door.Name }
        # Stop when it is somebody else's.
        Assert-Ours -Found $found -Comment ([string] $found.Comment) -What "The receive connector '$($door.Name)' on $server"
        # With -WhatIf this only tells what would be done.
        if ($PSCmdlet.ShouldProcess("$server\\$($door.Name)", 'make the receive connector, or bring it up to date')) {
            # Get before New; usage, role and server can be said only when it is made.
            if ($found) { Set-ReceiveConnector -Identity "$server\\$($door.Name)" @settings -ErrorAction Stop } else { New-ReceiveConnector -Name $door.Name -Server $server -Usage Custom -TransportRole FrontendTransport @settings -ErrorAction Stop | Out-Null }
            # Done.
            Write-Step "receive connector '$($door.Name)' on $server, port $($door.Port -join ', '), for $($GatewayAddress -join ', ') only"
        }
    }
}
"""  # noqa: E501 - lines of the script
