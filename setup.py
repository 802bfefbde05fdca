"""For tools that still call it; pyproject.toml holds everything."""

from setuptools import setup

setup()
