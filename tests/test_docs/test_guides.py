"""Tests of the guides: their commands name tools and options that exist, their Python runs."""

import re
from pathlib import Path

import pytest
import toolbox_pages
from PIL import Image

from ecl.apis import Predictor
from ecl.datasets import Digits

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *sorted(ROOT.glob('docs/en/**/*.md'))]
PAGES = [page for page in PAGES if '_generated' not in page.parts]


def commands(page):
    """Return the commands of a page, as lists of words.

    A command starts with ``ecl``, or with words before a script of the repository.
    """
    blocks = re.findall(r'```bash\n(.*?)```', page.read_text('utf-8'), re.DOTALL)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    words = [line.partition(' #')[0].split() for line in lines]
    found = []
    for line in words:
        starts = [i for i, word in enumerate(line) if re.match(r'(tools|tests)/.*\.(py|sh)$', word)]
        if line[:1] == ['ecl'] or starts:
            found.append(line[starts[0] if starts else 0 :])
    return found


def parser_of(command):
    """Return the parser of a command and the words that it parses; None for a shell script."""
    program, *words = command
    if program == 'ecl':
        parser, words = PARSERS[f'ecl {words[0]}'], words[1:]
    elif program in SCRIPTS:
        parser = SCRIPTS[program]
    else:
        return None, words
    parsers = toolbox_pages.commands(parser)
    return (parsers[words[0]], words[1:]) if words[0] in parsers else (parser, words)


SCRIPTS = {
    str(path.relative_to(ROOT)): toolbox_pages.tool_parser(path) for path in toolbox_pages.tools()
}
PARSERS = {parser.prog: parser for parser in SCRIPTS.values()}
WITH_COMMANDS = [page for page in PAGES if commands(page)]


@pytest.mark.parametrize('page', WITH_COMMANDS, ids=lambda page: page.name)
def test_commands_name_files_and_options_that_exist(page):
    for command in commands(page):
        assert command[0] == 'ecl' or (ROOT / command[0]).is_file(), command
        assert all((ROOT / word).is_file() for word in command if word.startswith('configs/'))
        parser, words = parser_of(command)
        if parser is not None:
            known = {word for action in parser._actions for word in action.option_strings}
            given = {word.strip('[]') for word in words if word.strip('[').startswith('--')}
            assert given <= known, command


def test_many_commands_are_checked():
    assert sum(len(commands(page)) for page in WITH_COMMANDS) > 30


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_in_the_text_exist(page):
    named = re.findall(r'`((?:tools|configs|docs|requirements)/[\w./-]+\.\w+)`', page.read_text())
    built = 'docs/en/_build'
    missing = [n for n in named if not n.startswith(built) and not (ROOT / n).exists()]
    assert not missing


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_extras_in_the_text_exist(page):
    project = (ROOT / 'pyproject.toml').read_text()
    _, extras = project.split('[tool.setuptools.dynamic.optional-dependencies]')
    known = re.findall(r'^(\w+) = \{ file', extras, re.MULTILINE)
    named = re.findall(r'(?:\.|ecl-longtail)\[(\w+)\]', page.read_text())
    assert set(named) <= set(known)


def test_the_python_for_inference_runs(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = Digits(split='test')
    for i, name in enumerate('ab'):
        Image.fromarray(images[i]['img']).save(f'{name}.png')
    checkpoint = str(digits_run / 'epoch_3.pth')
    guide = (ROOT / 'docs' / 'en' / 'user_guides' / 'inference.md').read_text('utf-8')
    for snippet in re.findall(r'```python\n(.*?)```', guide, re.DOTALL):
        exec(snippet.replace('work_dirs/ecl_r8_digits-lt/epoch_60.pth', checkpoint), {})
    printed = capsys.readouterr().out
    assert printed.count('(3, 10)') == 2
    predictor = Predictor(checkpoint)
    (guess,) = predictor.top(*predictor(['a.png']), k=1)
    # The progress bar of MMPretrain's inferencer stands before its class, on the same line.
    assert any(line.endswith(guess.name) for line in printed.splitlines())
    assert 'ecl_r8_digits-lt' in printed


def test_the_image_of_the_quick_start_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guide = (ROOT / 'docs' / 'en' / 'get_started.md').read_text('utf-8')
    for snippet in re.findall(r'```python\n(.*?)```', guide, re.DOTALL):
        exec(snippet, {})
    assert Image.open('digit.png').size == (8, 8)
