import csv
import json
import math
import os

import pytest
import torch
from PIL import Image

from ecl.apps.cli import run_tool
from ecl.apps.predict import predict
from ecl.datasets import Digits
from ecl.errors import UserError


@pytest.fixture
def images(tmp_path):
    digits = Digits(split='test')
    (tmp_path / 'in' / 'deep er').mkdir(parents=True)
    for i in range(5):
        Image.fromarray(digits[i]['img']).resize((20, 30)).save(tmp_path / f'in/deep er/{i} é.PNG')
    (tmp_path / 'in' / 'bad.jpg').write_bytes(b'no image')
    (tmp_path / 'in' / 'notes.txt').write_text('not to be read')
    (tmp_path / 'in' / 'in a circle').symlink_to('.')
    return tmp_path / 'in'


def test_a_folder_becomes_a_csv_and_bad_files_are_told(digits_run, images, tmp_path, capsys):
    out = tmp_path / 'out.csv'
    results = predict(
        digits_run / 'epoch_3.pth', images, topk=3, out=out, batch_size=2, device='cpu'
    )
    assert [bool(result.fault) for result in results] == [True] + 5 * [False] + [True] * 2
    rows = list(csv.DictReader(out.open(encoding='utf-8')))
    assert len(rows) == 15
    assert rows[0]['path'] == str(images / 'deep er' / '0 é.PNG')
    assert [row['rank'] for row in rows[:4]] == ['1', '2', '3', '1']
    first = results[1].guesses[0]
    assert rows[0]['class'] == first.name
    assert float(rows[0]['score']) == pytest.approx(first.score, abs=1e-6)
    captured = capsys.readouterr()
    assert captured.out == ''
    assert f'skipped {images / "bad.jpg"}: it is not an image' in captured.err
    assert f'skipped {images / "notes.txt"}: it is not an image' in captured.err
    assert '3 of 8 files' in captured.err
    assert [result.accepted for result in results] == [not result.fault for result in results]


def test_an_image_by_one_expert_as_json_and_as_text(digits_run, images, tmp_path, capsys):
    image, out = images / 'deep er' / '0 é.PNG', tmp_path / 'out.json'
    arguments = dict(topk=2, expert=1, device='cpu')
    (result,) = predict(digits_run / 'epoch_3.pth', image, **arguments)
    text = capsys.readouterr().out
    assert text.splitlines()[0] == str(image)
    assert f'{result.guesses[0].name} ({result.guesses[0].shot_group}-shot)' in text
    predict(digits_run / 'epoch_3.pth', image, out=out, **arguments)
    (read,) = json.loads(out.read_text())
    assert read['guesses'][0]['score'] == result.guesses[0].score
    assert (len(read['guesses']), read['fault']) == (2, '')


def test_several_files_and_folders_are_predicted_in_their_order(digits_run, images):
    first, second = (images / 'deep er' / f'{i} é.PNG' for i in (3, 1))
    sources = [first, second, images / 'deep er', first]
    results = predict(digits_run / 'epoch_3.pth', sources, topk=1, device='cpu')
    assert [result.path[-7:-6] for result in results] == ['3', '1', '0', '2', '4']
    with pytest.raises(UserError, match='gone does not exist'):
        predict(digits_run / 'epoch_3.pth', [first, 'gone'], device='cpu')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(topk=0), '--topk must be at least 1'),
        (dict(expert=3), '--expert 3: the model has 3 experts'),
        (dict(device='gpu'), "device 'gpu' cannot be used: Expected one of cpu, cuda"),
        (dict(out='a.txt'), r'must end in \.csv or \.json'),
        (dict(out='nowhere/a.csv'), 'nowhere does not exist'),
        (dict(source='gone'), 'gone does not exist'),
        (dict(source='.'), r'\. has no image'),
        (dict(tau=math.nan), r'tau: got nan, expected a number'),
        (dict(tau=math.inf), r'tau: got inf, expected a number'),
        (dict(adjust='tau-norm'), 'adjust tau-norm: got no strength. Give tau'),
        (dict(thresholds='t.json', expert=0), '--thresholds are only valid for the whole'),
        (dict(thresholds='t.json', tau=1.0), '--thresholds are only valid for the whole'),
    ],
)
def test_mistakes(digits_run, images, tmp_path, monkeypatch, arguments, message):
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    with pytest.raises(UserError, match=message):
        predict(digits_run / 'epoch_3.pth', **{'source': images, 'device': 'cpu', **arguments})


def test_a_name_that_is_not_utf_8(digits_run, images, tmp_path, capsys):
    path = os.fsdecode(os.fsencode(tmp_path) + b'/\xff.png')
    (images / 'deep er' / '0 é.PNG').rename(path)
    arguments = dict(topk=1, device='cpu')
    for name in ('a.json', 'a.csv'):
        predict(digits_run / 'epoch_3.pth', path, out=tmp_path / name, **arguments)
    (read,) = json.loads((tmp_path / 'a.json').read_text('utf-8'))
    assert read['path'] == path
    assert f'{tmp_path}/\\udcff.png,1,' in (tmp_path / 'a.csv').read_text('utf-8')
    run_tool(lambda: predict(digits_run / 'epoch_3.pth', path, **arguments))
    assert capsys.readouterr().out.startswith(f'{tmp_path}/\\udcff.png\n')


def test_memory_that_runs_out_names_the_option(digits_run, images, monkeypatch):
    def full(*_):
        return torch.empty(1 << 55)

    monkeypatch.setattr('ecl.apis.inference.Predictor.predict_batch', full)
    with pytest.raises(UserError, match=r'^out of memory .*: lower --batch-size \(now 2\)'):
        predict(digits_run / 'epoch_3.pth', images, batch_size=2, device='cpu')


def test_images_are_known_by_content(digits_run, images):
    (images / 'bad.jpg').unlink()
    (images / 'deep er' / '0 é.PNG').rename(images / 'photo')
    Image.open(images / 'photo').convert('CMYK').save(images / 'second.jfif', 'JPEG')
    Image.open(images / 'photo').save(images / 'third.avif')
    results = predict(digits_run / 'epoch_3.pth', images, topk=1, device='cpu')
    predicted = [result.path for result in results if result.guesses]
    assert [path.rpartition('/')[2] for path in predicted[-3:]] == [
        'photo',
        'second.jfif',
        'third.avif',
    ]
