"""What tests need to know of the store of `shop_app.py`, without importing it: it registers events."""

WAITING = "01900000-0000-7000-8000-000000000001"
FAILED = "01900000-0000-7000-8000-000000000002"
