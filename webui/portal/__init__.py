"""What everybody may read: today the revocation lists and certificates of the built-in CA."""
