"""Mail as bytes: addresses, header fields, the MIME tree, and what may be cut out of them."""
