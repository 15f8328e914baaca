"""S/MIME messages as CMS objects (RFC 8551, RFC 5652, RFC 5083)."""
