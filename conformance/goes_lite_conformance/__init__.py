"""What every backend of goes_lite must do, as tests: not part of this release."""
