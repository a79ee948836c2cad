"""The PostgreSQL backend of goes_lite: not part of this release."""
