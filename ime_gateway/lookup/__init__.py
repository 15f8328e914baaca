"""What the gateway asks of the network, one source per file."""
