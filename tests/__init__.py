"""Tests by area, and what they share (`*_kit.py`), imported by its whole name.

A package, so that no installed package of the same name stands in front of it; its folders need no `__init__.py`.
"""
