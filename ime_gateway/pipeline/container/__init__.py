"""IME 2.0 containers on their way in: what they amount to, and what that costs."""
