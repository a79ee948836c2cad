"""What Django needs to know. In production, keep the key elsewhere, and name the hosts."""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("SHOP_FOLDER", "."))

SECRET_KEY = os.environ.get("SHOP_SECRET", "only for trying it out")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = ["shop"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "shop.sqlite3",
        # Several processes: they wait for each other.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 60},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Not the file of the ORM: one process must not have one file open with two libraries.
GOES_LITE_URL = os.environ.get("GOES_LITE_URL", str(FOLDER / "events.db"))
