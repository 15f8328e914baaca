"""Certificates: reading them, judging them, and paths from them to trust."""
