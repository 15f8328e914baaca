"""The address list: where the contact of the IME address is published, and where Outlook finds it."""
