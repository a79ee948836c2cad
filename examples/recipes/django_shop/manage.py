"""A web service with Django: what happens is events, and what is looked at are models of its ORM, also in the admin.

    pip install goes-lite django
    python3 examples/recipes/django_shop/manage.py migrate
    python3 examples/recipes/django_shop/manage.py project &       # keeps the models up to date
    python3 examples/recipes/django_shop/manage.py runserver

    curl localhost:8000/orders/1001 --json '{"item": "tea", "cents": 450}'
    curl -X POST localhost:8000/orders/1001/pay
    curl localhost:8000/orders

Models are in shop.sqlite3, events in events.db, both in the working directory unless SHOP_FOLDER names another one.
docs/recipe-services.md explains each part.
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
