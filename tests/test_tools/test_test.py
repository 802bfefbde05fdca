import pytest

DEFAULTS = dict(
    config='a.py',
    checkpoint='b.pth',
    work_dir=None,
    out=None,
    show_dir=None,
    per_class=None,
    imbalance_factors=(),
    test_lists=(),
    tta=False,
    adjust=None,
    tau=None,
    adapt=False,
    cfg_options=None,
    launcher='none',
    verbose=False,
)


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ('', {}),
        (
            '--out m.json --work-dir w --cfg-options a.b=1,2',
            {'out': 'm.json', 'work_dir': 'w', 'cfg_options': {'a.b': [1, 2]}},
        ),
        ('--per-class c.csv --tta', {'per_class': 'c.csv', 'tta': True}),
        ('--show-dir s', {'show_dir': 's'}),
        ('--adjust tau-norm', {'adjust': 'tau-norm'}),
        ('--adjust tau-norm --tau 0.5', {'adjust': 'tau-norm', 'tau': 0.5}),
        ('--adjust of_my_own', {'adjust': 'of_my_own'}),
        ('--adapt', {'adapt': True}),
        ('--tau auto', {'tau': 'auto'}),
        ('--distributions', {'imbalance_factors': (50, 25, 10, 5, 2)}),
        ('--distributions 100 3', {'imbalance_factors': [100, 3]}),
        ('--test-lists f.txt g.txt', {'test_lists': ['f.txt', 'g.txt']}),
    ],
)
def test_arguments_reach_the_evaluation(load_tool, monkeypatch, words, expected):
    tool, calls = load_tool('test'), []
    monkeypatch.setattr('ecl.apis.test', lambda **arguments: calls.append(arguments))
    tool.main(['a.py', 'b.pth', *words.split()])
    assert calls == [{**DEFAULTS, **expected}]
