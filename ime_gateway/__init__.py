"""ime-gateway: a mail gateway that protects each message for each recipient with the best method they can open."""
