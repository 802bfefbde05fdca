"""Test of the README: its commands run one after another, with trainings of one epoch."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecl.apps.cli import COMMANDS

README = Path(__file__).parents[2] / 'README.md'
SHORT = [
    '--cfg-options',
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
]


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Images of two classes in the folder that the README names, and a photograph."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, number in (('heron', 40), ('owl', 20)):
        folder = tmp_path / 'my_images' / name
        folder.mkdir(parents=True)
        for i in range(number):
            pixels = rng.integers(0, 256, (96, 96, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f'{i}.png')
    Image.fromarray(pixels).save('photo.jpg')
    return tmp_path


def test_commands_run(images, fresh_engine_state, capsys):
    blocks = re.findall(r'```bash\n(.*?)```', README.read_text('utf-8'), re.DOTALL)
    lines = [line.partition(' #')[0] for line in '\n'.join(blocks).splitlines()]
    commands = [line.split() for line in lines if line.startswith('ecl ')]
    assert [words[1] for words in commands] == [
        *('train', 'test', 'report'),
        *('prepare', 'train', 'train', 'review', 'predict'),
    ]
    for _, name, *words in commands:
        words = [re.sub(r'epoch_\d+', 'epoch_1', word) for word in words]
        module, function, _ = COMMANDS[name]
        run = getattr(import_module(f'ecl.apps.commands.{module}'), function)
        try:
            run([*words, *SHORT] if name == 'train' else words)
        except SystemExit as end:
            assert not end.code
    assert (images / 'work_dirs' / 'ecl_r8_digits-lt' / 'report.html').is_file()
    assert (images / 'work_dirs' / 'mine' / 'results.json').is_file()
    assert re.search(r'(heron|owl) \(\w+-shot\)$', capsys.readouterr().out.rstrip())
