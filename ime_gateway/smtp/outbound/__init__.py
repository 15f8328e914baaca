"""SMTP as a client: one next hop, one connection, one transaction at a time (RFC 5321 section 3)."""
