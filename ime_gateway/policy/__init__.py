"""Decides, and does nothing else: facts in, plan out."""
