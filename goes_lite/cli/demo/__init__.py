"""The guided tour of `python -m goes_lite demo`: a small shop in one file, and everything that goes_lite does for it."""
