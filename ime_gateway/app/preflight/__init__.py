"""Everything that can be wrong with an installation, found before it takes mail."""
