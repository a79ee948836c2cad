"""The views: one in a file, each as data and as markup. See `goes_lite.explorer.routes`.

Rule of this folder: `read` is bounded and writes nothing; what it returns is all that `render` knows.
"""
