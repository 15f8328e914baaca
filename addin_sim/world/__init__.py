"""The small mail world of the demo: people, the server that plays Exchange, and the demo itself."""
