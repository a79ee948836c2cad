"""The MongoDB backend of goes_lite: not part of this release."""
