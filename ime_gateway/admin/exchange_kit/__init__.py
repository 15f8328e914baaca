"""What Exchange must be told so that internal encryption works beside it, as scripts and files made from live data."""
