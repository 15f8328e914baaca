"""Words that every floor speaks."""
