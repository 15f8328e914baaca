"""Mail to an exchange address: certificates, announced successors and self-tests between partners."""
