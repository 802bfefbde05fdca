"""Pages of the manual that are written from the code: tools, configurations, interfaces."""

import argparse
import importlib
import itertools
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from model_zoo import ROOT, methods
from sphinx.application import Sphinx

#: Pages of the interface: title, and the packages and modules on it.
INTERFACE = {
    'models': ('Models and losses', ['ecl.models']),
    'datasets': ('Datasets and samplers', ['ecl.datasets']),
    'engine': ('Hooks and optimizers', ['ecl.engine']),
    'evaluation': ('Evaluation', ['ecl.evaluation', 'ecl.shots']),
    'visualization': ('Figures', ['ecl.visualization']),
    'apis': (
        'What tools and notebooks call',
        ['ecl.apis', 'ecl.apps.report', 'ecl.apps.demo', 'ecl.errors'],
    ),
}


class _Captured(Exception):
    """Carries a tool's parser out of the tool."""


def tools() -> list[Path]:
    """The tools written in Python, training and testing first."""
    found = [p for p in (ROOT / 'tools').rglob('*.py') if not p.name.startswith('_')]
    first = ('train.py', 'test.py')
    return sorted(found, key=lambda p: (len(p.parts), p.name not in first, p.name == 'test.py', p))


def tool_parser(path: Path) -> argparse.ArgumentParser:
    """The argument parser of a tool, which builds it in its function ``main``.

    Args:
        path: The script.

    Raises:
        ValueError: If the script's ``main`` parses no arguments.
    """

    def capture(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        raise _Captured(parser)

    # As for a script, the modules beside it can be imported.
    with (
        patch.object(sys, 'path', [str(path.parent), *sys.path]),
        patch.object(argparse.ArgumentParser, 'parse_args', capture),
    ):
        try:
            runpy.run_path(str(path))['main']([])
        except _Captured as captured:
            parser = captured.args[0]
            parser.prog = f'python {path.relative_to(ROOT)}'
            return parser
    raise ValueError(f'{path} parses no arguments')


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a tool's commands by name, or its own under the empty name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                command.prog = f'{parser.prog} {name}'
            return dict(action.choices)
    return {'': parser}


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Words and meaning of each argument of a parser but ``--help``."""
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        meaning = formatter._expand_help(action) if action.help else ''
        if action.default and action.default != argparse.SUPPRESS and 'default' not in meaning:
            meaning += f' (default: {action.default})'
        yield formatter._format_action_invocation(action), meaning


def tools_page() -> str:
    """Every tool with every option."""
    lines = ['# Tools', '', 'What `--help` says of each.', '']
    for path in tools():
        parser = tool_parser(path)
        lines += [f'## {path.relative_to(ROOT)}', '', parser.description or '', '']
        for name, command in commands(parser).items():
            if name:
                lines += [f'### {path.name} {name}', '']
            usage = command.format_usage().removeprefix('usage: ').rstrip()
            usage = usage.replace('\n       ', '\n')  # as wide as what was removed
            lines += ['```text', usage, '```', '', '| argument | meaning |', '|---|---|']
            for words, meaning in options(command):
                lines.append(f'| `{_cell(words)}` | {_cell(meaning)} |')
            lines.append('')
    for script in sorted(ROOT.glob('tools/[!_]*.sh')):
        about = itertools.takewhile(lambda line: line.startswith('#'), _lines_after_shebang(script))
        usage = '\n'.join(line.removeprefix('#').removeprefix(' ') for line in about)
        lines += [f'## {script.relative_to(ROOT)}', '', '```text', usage, '```', '']
    return '\n'.join(lines)


def _lines_after_shebang(script: Path) -> list[str]:
    return script.read_text().splitlines()[1:]


def _cell(text: str) -> str:
    return text.replace('|', '\\|')


def configurations_page() -> str:
    """The README of every method, without what leads out of the manual."""
    texts = ['# Configurations and results\n']
    for method in methods():
        text = re.sub(r'\[([^\]]+)\]\((?!http)[^)]*\)', r'\1', (method / 'README.md').read_text())
        texts.append(re.sub(r'<!--.*?-->\n', '', text).replace('# ', '## ', 1))
    return '\n'.join(texts)


def interface_page(title: str, modules: list[str]) -> str:
    """A table of what modules offer, then their docstrings."""
    lines = [f'# {title}', '', '```{eval-rst}']
    shown: set[str] = set()
    for name in modules:
        offered = set(getattr(importlib.import_module(name), '__all__', ())) - shown
        shown |= offered
        names = ', '.join(sorted(offered))
        lines += [f'.. automodule:: {name}', f'   :members: {names}', '   :show-inheritance:']
        lines += ['   :imported-members:'] if offered else []
        lines += ['', '   .. autosummary::', '      :nosignatures:', ''] if offered else ['']
        lines += [f'      {entry}' for entry in sorted(offered)] + ['']
    return '\n'.join([*lines, '```', ''])


def write_pages(app: Sphinx) -> None:
    """Write the pages into the folder ``_generated`` of the manual; unchanged ones stay."""
    folder = Path(app.srcdir) / '_generated'
    pages = {'tools': tools_page(), 'configurations': configurations_page()}
    pages |= {f'api_{name}': interface_page(*page) for name, page in INTERFACE.items()}
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / f'{name}.md'
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Let every build begin with the pages."""
    app.connect('builder-inited', write_pages)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
