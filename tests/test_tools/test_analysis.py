def test_arguments_reach_the_sheet(load_tool, monkeypatch, capsys):
    tool = load_tool('analysis/browse')
    monkeypatch.setattr('ecl.apps.data.browse.browse', lambda **arguments: arguments)
    words = 'a.py --out b.png --split test --num-classes 3 --cfg-options c.d=1'
    tool.main(words.split())
    assert eval(capsys.readouterr().out) == dict(
        config='a.py',
        out='b.png',
        split='test',
        num_classes=3,
        num_images=4,
        seed=0,
        cfg_options={'c.d': 1},
    )


def test_arguments_reach_the_distribution(load_tool, monkeypatch, capsys):
    tool = load_tool('analysis/distribution')
    monkeypatch.setattr('ecl.apps.data.browse.distribution', lambda **arguments: arguments)
    tool.main(['a.py'])
    assert eval(capsys.readouterr().out) == dict(config='a.py', out=None, cfg_options=None)
