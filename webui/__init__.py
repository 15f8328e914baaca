"""The gateway's web sites: the administrators' now, the recipients' portal later."""
