"""The trained model that comes with the package."""

import json
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from ecl.apis import get_model
from ecl.apis import test as evaluate
from ecl.apps.commands import model as commands
from ecl.checkpoint_file import SHIPPED
from ecl.datasets import Digits
from ecl.errors import UserError

NAME = 'ecl_r8_digits-lt'
RECORD = Path(__file__).parents[2] / 'docs/en/results/digits-lt.json'


def test_its_accuracy_is_that_of_the_record(tmp_path):
    metrics = evaluate(NAME, NAME, work_dir=tmp_path)
    (row,) = (row for row in json.loads(RECORD.read_text())['rows'] if row['name'] == 'ECL')
    recorded = row['runs'][0]['metrics']
    # float16, and other processors, may turn two of 500 images.
    for key in ('shot/overall', 'shot/few'):
        assert metrics[key] == pytest.approx(recorded[key], abs=1.0)


def test_the_file_is_small():
    assert len(zlib.compress(SHIPPED[NAME].read_bytes())) < 500_000  # as in a wheel


def test_a_model_starts_from_it():
    trained, fresh = get_model(NAME, pretrained=True), get_model(NAME)
    name = 'head.label_classifiers.0.weight'
    assert not torch.equal(trained.state_dict()[name], fresh.state_dict()[name])
    with pytest.raises(UserError, match=f'no weights of ncl_r8_digits-lt .* {NAME}'):
        get_model('ncl_r8_digits-lt', pretrained=True)


def test_it_predicts_if_no_checkpoint_is_given(tmp_path, monkeypatch, capsys):
    Image.fromarray(Digits(split='test')[3]['img']).save(tmp_path / 'digit.png')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        commands.predict(['digit.png', '--topk', '1'])
    assert end.value.code == 0
    printed = capsys.readouterr()
    assert f'{Digits(split="test")[3]["gt_label"]} (few-shot)' in printed.out
    assert f'using {NAME} (handwritten digits)' in printed.err


def test_options_may_stand_between_checkpoint_and_images(tmp_path, capsys):
    paths = [str(tmp_path / f'{label}.png') for label in (0, 1)]
    for label, path in enumerate(paths):
        Image.fromarray(Digits(split='test')[label]['img']).save(path)
    with pytest.raises(SystemExit) as end:
        commands.predict([NAME, '--topk', '1', paths[0], '--batch-size', '1', paths[1]])
    assert end.value.code == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line in paths] == paths


def test_a_checkpoint_alone_is_no_image(capsys):
    with pytest.raises(SystemExit):
        commands.predict(['epoch_60.pth'])
    assert 'give an image or a folder after the checkpoint' in capsys.readouterr().err
