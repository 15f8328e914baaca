"""Mail in and mail out over SMTP (RFC 5321): the doors of the gateway."""
