"""The administrators' site, one `*_pages.py` per room."""
