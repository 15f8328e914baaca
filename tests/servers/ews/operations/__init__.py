"""The operations of EWS, each a function from the request to its response messages."""
