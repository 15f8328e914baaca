"""What the workshop needs from the outside, as protocols and frozen values."""
