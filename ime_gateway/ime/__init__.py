"""Internal mail encryption as pure functions on headers."""
