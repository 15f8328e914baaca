"""The rehearsal of a roll-out: many Outlooks at once against a running gateway, and every deviation counted."""
