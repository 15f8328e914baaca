"""The add-in's mailbox behind one interface, whichever protocol reaches it."""
