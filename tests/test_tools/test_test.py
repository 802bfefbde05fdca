def test_arguments_reach_the_evaluation(load_tool, monkeypatch):
    tool, calls = load_tool('test'), []
    monkeypatch.setattr(tool, 'test', lambda **arguments: calls.append(arguments))
    tool.main(['a.py', 'b.pth', '--out', 'm.json', '--work-dir', 'w', '--cfg-options', 'a.b=1,2'])
    assert calls == [
        dict(
            config='a.py',
            checkpoint='b.pth',
            out='m.json',
            work_dir='w',
            cfg_options={'a.b': [1, 2]},
            launcher='none',
        )
    ]
