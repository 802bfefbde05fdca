"""The guide on using a model names tools, options and Python that exist."""

import re
from pathlib import Path

import pytest
from PIL import Image

from ecl.apis import Predictor
from ecl.datasets import Digits

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / 'docs' / 'en' / 'user_guides' / 'use.md').read_text('utf-8')
COMMANDS = [
    command.replace('\\\n', ' ').split()
    for block in re.findall(r'```bash\n(.*?)```', GUIDE, re.DOTALL)
    for command in re.findall(r'^python (?:.*\\\n)*.*$', block, re.MULTILINE)
]


@pytest.mark.parametrize('command', COMMANDS, ids=lambda command: command[1])
def test_commands_name_tools_and_options_that_exist(command):
    source = (ROOT / command[1]).read_text()
    options = [word for word in command if word.startswith('--')]
    assert options
    assert all(f"'{option}'" in source for option in options)
    assert all((ROOT / word).is_file() for word in command if word.startswith('configs/'))


def test_the_python_runs(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = Digits(split='test')
    for i, name in enumerate('ab'):
        Image.fromarray(images[i]['img']).save(f'{name}.png')
    checkpoint = str(digits_run / 'epoch_3.pth')
    for snippet in re.findall(r'```python\n(.*?)```', GUIDE, re.DOTALL):
        exec(snippet.replace('work_dirs/ecl_r8_digits-lt/epoch_60.pth', checkpoint), {})
    printed = capsys.readouterr().out
    assert printed.count('(3, 10)') == 2
    predictor = Predictor(checkpoint)
    (guess,) = predictor.top(*predictor(['a.png']), k=1)
    assert printed.rstrip().endswith(guess.name)
