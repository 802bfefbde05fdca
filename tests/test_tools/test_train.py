import subprocess
import sys

import pytest

DEFAULTS = dict(
    config='a.py',
    work_dir=None,
    resume=None,
    amp=False,
    seed=None,
    cfg_options=None,
    launcher='none',
    verbose=False,
    validate=True,
    auto_scale_lr=False,
    epochs=None,
)


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ('', {}),
        ('--resume', {'resume': 'auto'}),
        ('--no-validate --auto-scale-lr', {'validate': False, 'auto_scale_lr': True}),
        ('--resume auto --amp --verbose', {'resume': 'auto', 'amp': True, 'verbose': True}),
        ('--resume b.pth --seed 3', {'resume': 'b.pth', 'seed': 3}),
        ('--epochs 20', {'epochs': 20}),
        (
            '--work-dir w --launcher pytorch --cfg-options a.b=1',
            {'work_dir': 'w', 'launcher': 'pytorch', 'cfg_options': {'a.b': 1}},
        ),
    ],
)
def test_arguments_reach_the_training(load_tool, monkeypatch, words, expected):
    tool, calls = load_tool('train'), []
    monkeypatch.setattr('ecl.apis.train', lambda **arguments: calls.append(arguments))
    tool.main(['a.py', *words.split()])
    assert calls == [{**DEFAULTS, **expected}]


def test_a_mistake_ends_in_one_line_and_status_2(tools, digits_config, environment, tmp_path):
    result = subprocess.run(
        [sys.executable, tools / 'train.py', digits_config, '--cfg-options', 'modle.head.type=X'],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"error: {digits_config}: option modle.head.type: unknown key 'modle'; "
        "did you mean 'model'?"
    ]
