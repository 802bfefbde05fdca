"""The examples in the docstrings do what they show."""

import doctest
import importlib
import pkgutil

import pytest

import ecl

MODULES = [info.name for info in pkgutil.walk_packages(ecl.__path__, 'ecl.')]


@pytest.mark.parametrize('name', MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
