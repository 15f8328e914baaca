"""Which certificate protects mail to whom: verdicts and choice."""
