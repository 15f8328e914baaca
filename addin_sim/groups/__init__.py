"""Distribution groups among the recipients, which the client expands before a mail is internally encrypted."""
