"""anew keeps models in production fresh."""

__version__ = "0.1.0"
