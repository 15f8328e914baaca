"""Plays the Outlook add-in and its surroundings from the outside; imports nothing of the gateway."""
