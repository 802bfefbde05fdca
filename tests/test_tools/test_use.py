"""The command lines of the tools that take a trained model."""

import re

import pytest
from PIL import Image

from ecl.apps.export import Exported
from ecl.checkpoint_file import trusts_checkpoints
from ecl.datasets import Digits
from ecl.errors import UserError

PREPROCESSING = dict(
    size=[8, 9],
    channels='BGR',
    dtype='float32',
    transforms=[dict(type='ResizeEdge', scale=8)],
    mean=[1.0],
    std=[2.0],
    normalised_in_file=False,
)


def test_predict_exits_with_1_if_a_file_is_no_image(load_tool, digits_run, tmp_path, capsys):
    Image.fromarray(Digits(split='test')[0]['img']).save(tmp_path / 'a.png')
    words = [str(digits_run / 'epoch_3.pth'), str(tmp_path), '--topk', '2', '--device', 'cpu']
    with pytest.raises(SystemExit) as caught:
        load_tool('predict').main(words)
    assert caught.value.code == 0
    assert capsys.readouterr().out.count('%') == 2
    (tmp_path / 'b.png').write_bytes(b'')
    with pytest.raises(SystemExit) as caught:
        load_tool('predict').main([*words, '--expert', '1', '--batch-size', '1'])
    assert caught.value.code == 1
    assert 'b.png: the file is empty' in capsys.readouterr().err


def test_predict_takes_a_work_dir_and_several_images(load_tool, digits_run, tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ('a.png', 'b.PNG')]
    for index, path in enumerate(paths):
        Image.fromarray(Digits(split='test')[index]['img']).save(path)
    out = tmp_path / 'out.csv'
    for words in ([str(digits_run), *paths], paths):  # without a checkpoint: the shipped model
        with pytest.raises(SystemExit) as caught:
            load_tool('predict').main([*words, '--out', str(out), '--topk', '1'])
        assert caught.value.code == 0
        assert capsys.readouterr().out == f'{out}: predictions of 2 images\n'
        assert [line.split(',')[0] for line in out.read_text().splitlines()[1:]] == paths


def test_a_work_dir_is_published(load_tool, digits_run, tmp_path):
    load_tool('publish').main([str(digits_run), '--out', str(tmp_path / 'a.pth')])
    assert len(list(tmp_path.glob('a-*.pth'))) == 1


def test_export_tells_the_largest_difference(load_tool, digits_run, tmp_path, monkeypatch, capsys):
    tool, calls = load_tool('export'), []
    monkeypatch.setattr(
        'ecl.apps.export.export',
        lambda **arguments: calls.append(arguments) or Exported(2.5e-7, PREPROCESSING),
    )
    tool.main(['a.pth', '--out', 'a.pt2', '--what', 'expert0', '--preprocess'])
    assert calls == [dict(checkpoint='a.pth', out='a.pt2', what='expert0', preprocess=True)]
    assert capsys.readouterr().out.splitlines() == [
        'a.pt2: differs from PyTorch by at most 2.5e-07',
        'input: images (N, 3, 8, 9), float32, BGR',
        'preprocessing: ResizeEdge(scale=8), (pixel - [1.0]) / [2.0] by the caller',
    ]


def test_publish_tells_the_name_and_size(load_tool, digits_run, tmp_path, capsys):
    load_tool('publish').main([str(digits_run / 'epoch_3.pth'), '--out', str(tmp_path / 'a.pth')])
    printed = capsys.readouterr().out
    assert re.search(r'a-[0-9a-f]{8}\.pth \(1\.1 MB, before \d\.\d MB\)', printed)


def test_arguments_reach_the_comparison(load_tool, monkeypatch):
    tool, calls = load_tool('analysis/compare'), []
    monkeypatch.setattr(
        'ecl.apps.experiments.compare.compare', lambda **arguments: calls.append(arguments)
    )
    tool.main(['a', 'b', 'c.json', '--out', 'x'])
    assert calls == [dict(paths=['a', 'b', 'c.json'], out='x')]


@pytest.mark.parametrize(
    ('name', 'function', 'words'),
    [
        ('test', 'ecl.apis.test', 'config.py a.pth'),
        ('predict', 'ecl.apps.predict.predict', 'a.pth b.png'),
        ('demo', 'ecl.apps.demo.demo', 'a.pth'),
        ('export', 'ecl.apps.export.export', 'a.pth --out b.onnx'),
        ('publish', 'ecl.apps.publish.publish', 'a.pth'),
        ('analysis/compare', 'ecl.apps.experiments.compare.compare', 'a b'),
        ('analysis/report', 'ecl.apps.report.report', 'a'),
    ],
)
def test_a_model_with_parts_of_ones_own_may_be_trusted(
    load_tool, monkeypatch, name, function, words
):
    def called(*_, **__):
        raise UserError('trusted' if trusts_checkpoints() else 'not trusted')

    tool = load_tool(name)
    monkeypatch.setattr(function, called)
    with pytest.raises(UserError, match='not trusted'):
        tool.main(words.split())
    with pytest.raises(UserError, match=r'^trusted'):
        tool.main([*words.split(), '--trust-checkpoint'])
