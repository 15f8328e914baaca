"""The workshop: one message from DATA to 250 and from the queue to the next hop."""
