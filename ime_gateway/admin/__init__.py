"""Use cases of administrators, for the command line and the web pages alike."""
