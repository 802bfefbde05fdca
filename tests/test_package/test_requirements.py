"""One list of requirements, and a tested version for each on every Python that is supported."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).parents[2] / 'requirements'
LISTS = sorted(path.stem for path in REQUIREMENTS.glob('*.txt') if path.stem != 'pinned')


def _read(name: str) -> list[Requirement]:
    lines = (REQUIREMENTS / f'{name}.txt').read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def _normal(name: str) -> str:
    return re.sub('[-_.]+', '-', name).lower()


def _pins(python: str) -> dict[str, list[Requirement]]:
    pins: dict[str, list[Requirement]] = {}
    for pin in _read('pinned'):
        if pin.marker is None or pin.marker.evaluate({'python_version': python}):
            pins.setdefault(_normal(pin.name), []).append(pin)
    return pins


@pytest.mark.parametrize('python', ['3.10', '3.11', '3.12', '3.13'])
def test_every_requirement_has_one_tested_version(python):
    pins = _pins(python)
    assert all(len(found) == 1 for found in pins.values())
    for requirement in [line for name in LISTS for line in _read(name)]:
        (pin,) = pins[_normal(requirement.name)]
        version = str(pin.specifier).removeprefix('==')
        assert re.fullmatch(r'[\d.]+', version)
        assert requirement.specifier.contains(version)


def test_requirements_of_requirements_are_pinned_too():
    # CUDA libraries are left to torch, which pins its own.
    left_to_torch = re.compile(r'cuda-|nvidia-|triton')
    python = '3.11'
    pins = _pins(python)
    for requirement in [line for name in LISTS for line in _read(name)]:
        for line in requires(requirement.name) or ():
            needed = Requirement(line)
            environment = {'python_version': python, 'extra': ''}
            if needed.marker is not None and not needed.marker.evaluate(environment):
                continue
            name = _normal(needed.name)
            assert left_to_torch.match(name) or name in pins, f'{name}, needed by {requirement}'


@pytest.mark.parametrize('name', LISTS)
def test_every_list_says_why(name):
    lines = (REQUIREMENTS / f'{name}.txt').read_text().splitlines()
    needed = [i for i, line in enumerate(lines) if not line.startswith('#')]
    assert all(lines[i - 1].startswith('# ') for i in needed)
