"""The store: all that must outlive the process, on SQLite or PostgreSQL (README.md)."""
