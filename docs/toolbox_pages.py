"""Sphinx extension that writes pages of the manual from the code.

The pages are the tools with their options, the configurations with their results, and the API.
"""

import argparse
import html
import importlib
import itertools
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from model_zoo import ROOT, methods
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from ecl.apps.cli import COMMANDS

#: Pages of the API: title, and the packages and modules on it.
INTERFACE = {
    'models': ('Models and losses', ['ecl.models']),
    'datasets': ('Datasets and samplers', ['ecl.datasets']),
    'engine': ('Hooks and optimizers', ['ecl.engine']),
    'evaluation': ('Metrics', ['ecl.evaluation', 'ecl.shots']),
    'visualization': ('Figures', ['ecl.visualization']),
    'apis': (
        'Training and inference from Python',
        [
            'ecl.apis',
            'ecl.apps.export',
            'ecl.apps.publish',
            'ecl.apps.report',
            'ecl.apps.demo',
            'ecl.errors',
        ],
    ),
}


class _Captured(Exception):
    """Carry the parser of a tool out of the tool."""


def tools() -> list[Path]:
    """Return the tools written in Python, training and testing first."""
    found = [p for p in (ROOT / 'tools').rglob('*.py') if not p.name.startswith('_')]
    first = ('train.py', 'test.py')
    return sorted(found, key=lambda p: (len(p.parts), p.name not in first, p.name == 'test.py', p))


def tool_parser(path: Path) -> argparse.ArgumentParser:
    """Return the argument parser of a tool, which the function ``main`` of the tool builds.

    Its program name is the command of ``ecl`` if the tool is one, else the script.

    Raises:
        ValueError: If ``main`` parses no arguments.
    """

    def capture(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        raise _Captured(parser)

    # The modules beside the tool can be imported, as when the tool runs as a script.
    with (
        patch.object(sys, 'path', [str(path.parent), *sys.path]),
        patch.object(argparse.ArgumentParser, 'parse_known_args', capture),
    ):
        main = runpy.run_path(str(path))['main']
        try:
            main([])
        except _Captured as captured:
            parser = captured.args[0]
            parser.prog = command_of(main) or f'python {path.relative_to(ROOT)}'
            return parser
    raise ValueError(f'{path} parses no arguments')


def command_of(main: Callable[..., None]) -> str | None:
    """Return the command of ``ecl`` that a function parses, or None."""
    for name, (module, function, _) in COMMANDS.items():
        if (main.__module__, main.__name__) == (f'ecl.apps.commands.{module}', function):
            return f'ecl {name}'
    return None


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the subcommands by name, or the parser itself under the empty name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                command.prog = f'{parser.prog} {name}'
            return dict(action.choices)
    return {'': parser}


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield words and meaning of each argument of a parser except ``--help``."""
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        meaning = formatter._expand_help(action) if action.help else ''
        default = '' if action.default is True else action.default  # True: of a flag that unsets
        if default and default != argparse.SUPPRESS and 'default' not in meaning:
            meaning += f' (default: {str(default).removeprefix(f"{ROOT}/")})'
        yield formatter._format_action_invocation(action), meaning


def tools_page() -> str:
    """Return the page with every tool and every option."""
    lines = ['# Command line tools', '', 'This page has the text of `--help` of each tool.', '']
    for path in tools():
        parser, script = tool_parser(path), f'python {path.relative_to(ROOT)}'
        lines += [f'## {parser.prog.removeprefix("python ")}', '', parser.description or '', '']
        if parser.prog != script:
            lines += [f'In a clone also: `{script}`', '']
        for name, command in commands(parser).items():
            if name:
                lines += [f'### {parser.prog.removeprefix("python ")} {name}', '']
            usage = command.format_usage().removeprefix('usage: ').rstrip()
            usage = usage.replace('\n       ', '\n')  # as wide as 'usage: '
            lines += ['```text', usage, '```', '', '| argument | meaning |', '|---|---|']
            for words, meaning in options(command):
                lines.append(f'| `{_cell(words)}` | {_cell(html.escape(meaning, quote=False))} |')
            lines.append('')
    for script in sorted(ROOT.glob('tools/[!_]*.sh')):
        after_shebang = script.read_text().splitlines()[1:]
        about = itertools.takewhile(lambda line: line.startswith('#'), after_shebang)
        usage = '\n'.join(line.removeprefix('#').removeprefix(' ') for line in about)
        lines += [f'## {script.relative_to(ROOT)}', '', '```text', usage, '```', '']
    return '\n'.join(lines)


def _cell(text: str) -> str:
    return text.replace('|', '\\|')


def configurations_page() -> str:
    """Return the README of every method on one page; links out of the manual become text."""
    texts = ['# Configurations and results\n']
    for method in methods():
        text = re.sub(r'<!--.*?-->\n', '', (method / 'README.md').read_text())
        text = text.replace('](../../docs/en/', '](../')
        text = re.sub(r'\[([^\]]+)\]\((?!http|\.\./[\w/]+\.md)[^)]*\)', r'\1', text)
        texts.append(text.replace('# ', f'(method-{method.name})=\n## ', 1))
    return '\n'.join(texts)


def interface_page(title: str, modules: list[str]) -> str:
    """Return a page with a table of what modules offer, and their docstrings."""
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
    """Write the pages into the folder ``_generated``; an unchanged page keeps its date."""
    folder = Path(app.srcdir) / '_generated'
    pages = {'tools': tools_page(), 'configurations': configurations_page()}
    pages |= {f'api_{name}': interface_page(*page) for name, page in INTERFACE.items()}
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / f'{name}.md'
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def adapt_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Link README files of methods to their section in the manual; keep mean ± std together."""
    text = re.sub(r'\]\((?:\.\./)+configs/(\w+)/README\.md\)', r'](#method-\1)', source[0])
    source[0] = text.replace(' ± ', '\u00a0±\u00a0')


def check_offline(app: Sphinx, exception: Exception | None) -> None:
    """Refuse pages that load a script, style sheet or picture from the network.

    Raises:
        ExtensionError: If there is such a page, naming it.
    """
    element = r'<(?:script|img|link(?=[^>]*stylesheet))\b'
    remote = re.compile(element + r'[^>]*\b(?:src|href)="(?:https?:)?//')
    for page in [] if exception else sorted(Path(app.outdir).rglob('*.html')):
        if found := remote.search(page.read_text('utf-8')):
            raise ExtensionError(f'{page} loads from the network: got {found[0]}')


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages at the start of every build."""
    app.connect('builder-inited', write_pages)
    app.connect('source-read', adapt_source)
    app.connect('build-finished', check_offline)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
