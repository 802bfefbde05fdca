"""Measure the size and the layers of the package: python tests/house.py

Code lines are lines that hold code: no blank line, comment or docstring.

Method code is what a paper of this field describes: networks and losses (``ecl/models``), data
(``ecl/datasets``), measures (``ecl/evaluation``) and the parts of a method that a training carries
out around the model (``ecl/engine/methods``). The library is ``ecl`` without ``ecl/apps``, which
holds the applications of the command line. Non-method code is the rest of the library.
"""

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
METHOD = ('ecl/models', 'ecl/datasets', 'ecl/evaluation', 'ecl/engine/methods')
APPLICATIONS = 'ecl/apps'
#: Packages and modules from the lowest floor to the highest. A module imports no higher floor.
FLOORS = (
    ('ecl.errors', 'ecl.version', 'ecl.registry', 'ecl.settings', 'ecl.shots'),
    ('ecl.checkpoint_file', 'ecl.weights'),
    ('ecl.models', 'ecl.datasets', 'ecl.evaluation', 'ecl.visualization'),
    ('ecl.engine',),
    ('ecl.apis',),
    ('ecl.apps',),
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def sources(*folders: str) -> list[Path]:
    """Return the Python files of folders, relative to the root of the repository."""
    found = [path for folder in folders for path in (ROOT / folder).rglob('*.py')]
    return sorted(path.relative_to(ROOT) for path in found)


def code_lines(text: str) -> int:
    """Return the number of code lines of a source text."""
    docs: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docs.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docs)


def measure() -> dict[str, float]:
    """Return the numbers by name; see the top of this module for what they count."""
    lengths = [len((ROOT / path).read_text().splitlines()) for path in sources('ecl', 'tools')]
    code: Counter[str] = Counter()
    for path in sources('ecl'):
        kind = 'non-method'
        if path.is_relative_to(APPLICATIONS):
            kind = 'applications'
        elif any(path.is_relative_to(folder) for folder in METHOD):
            kind = 'method'
        code[kind] += code_lines((ROOT / path).read_text())
    return {
        'files in ecl and tools': len(lengths),
        'median lines of a file': median(lengths),
        'lines of the longest file': max(lengths),
        'code lines of methods': code['method'],
        'code lines of the rest of the library': code['non-method'],
        'code lines of applications': code['applications'],
        'non-method : method code of the library': code['non-method'] / code['method'],
    }


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of ``ecl`` that a file imports, by their full names."""
    package = path.parent.parts
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith('ecl'))
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[: len(package) + 1 - node.level]) if node.level else ''
            module = '.'.join(part for part in (base, node.module) if part)
            if module.partition('.')[0] == 'ecl':
                yield from (f'{module}.{name.name}' for name in node.names)


def module_of(name: str) -> str:
    """Return the module or package of a full name, such as that of a class."""
    parts = name.split('.')
    while not (
        (ROOT / '/'.join(parts)).with_suffix('.py').is_file()
        or (ROOT / '/'.join(parts) / '__init__.py').is_file()
    ):
        parts.pop()
    return '.'.join(parts)


def floor_of(module: str) -> int:
    """Return the number of the floor of a module, 0 for the lowest."""
    if module in ('ecl', 'ecl.__init__'):
        return 0
    for number, names in enumerate(FLOORS):
        if any(module == name or module.startswith(f'{name}.') for name in names):
            return number
    raise ValueError(f'{module} is on no floor')


if __name__ == '__main__':
    for name, value in measure().items():
        print(f'{name:42} {value:8.6g}')
