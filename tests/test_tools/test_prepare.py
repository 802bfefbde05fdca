import pytest

from ecl.errors import UserError

FOLDER = dict(
    test=None,
    val=0,
    seed=0,
    group_by=None,
    base=None,
    workers=None,
    network=None,
    pretrained=None,
    experts=None,
    untested_below=0,
    keep=None,
)


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ('', {}),
        ('--test-per-class 5 --val-per-class 2 --seed 3', {'test': 5, 'val': 2, 'seed': 3}),
        ('--group-by 2', {'group_by': '2'}),
        ('--test-fraction .2 --val-fraction .1', {'test': 0.2, 'val': 0.1}),
        ('--base b.py --workers 4', {'base': 'b.py', 'workers': 4}),
        ('--network n --pretrained w.pth', {'network': 'n', 'pretrained': 'w.pth'}),
        ('--experts 3', {'experts': 3}),
        ('--untested-below 4', {'untested_below': 4}),
        ('--keep old', {'keep': 'old'}),
    ],
)
def test_arguments_reach_the_preparation(load_tool, monkeypatch, words, expected):
    tool, calls = load_tool('dataset/prepare'), []
    monkeypatch.setattr(
        'ecl.apps.data.prepare_folder.prepare_folder', lambda *a, **k: calls.append((a, k))
    )
    monkeypatch.setattr('ecl.apps.data.summary.print_summary', lambda prepared: None)
    tool.main(['folder', 'x', '--out', 'y', *words.split()])
    assert calls == [(('x', 'y'), {**FOLDER, **expected})]


def test_arguments_of_a_table_reach_the_preparation(load_tool, monkeypatch):
    tool, calls = load_tool('dataset/prepare'), []
    monkeypatch.setattr(
        'ecl.apps.data.prepare_folder.prepare_csv', lambda *a, **k: calls.append((a, k))
    )
    monkeypatch.setattr('ecl.apps.data.summary.print_summary', lambda prepared: None)
    words = '--images z --suffix .jpg --label-column kind --group-column shop --seed 3'
    tool.main(['csv', 'x.csv', '--out', 'y', *words.split()])
    columns = {'image': None, 'label': 'kind', 'split': None, 'group': 'shop'}
    assert calls == [(('x.csv', 'y', 'z', '.jpg', columns), {**FOLDER, 'seed': 3})]


def test_benchmarks_reach_the_linking(load_tool, monkeypatch, capsys):
    tool = load_tool('dataset/prepare')
    monkeypatch.setattr(
        'ecl.apps.data.prepare_public.prepare_public', lambda *words: map(str, words)
    )
    tool.main(['imagenet-lt', 'x', '--lists', 'y'])
    assert capsys.readouterr().out.split() == ['imagenet-lt', 'x', 'y', 'data']


@pytest.mark.parametrize(
    'words', ['--test-fraction 1', '--test-per-class 0', '--val-per-class -1', '--val-fraction 0']
)
def test_shares_out_of_range(load_tool, words):
    with pytest.raises(UserError, match=words.split()[0]):
        load_tool('dataset/prepare').main(['folder', 'x', '--out', 'y', *words.split()])


def test_a_mistake_is_told_and_nothing_written(load_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match='gone does not exist'):
        load_tool('dataset/prepare').main(['folder', 'gone', '--out', 'mine'])
    assert not list(tmp_path.iterdir())
