import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import stdev

import pytest
from PIL import Image

import ecl
from ecl.apis.launch import alone_in
from ecl.apps.data.prepare_folder import prepare_folder
from ecl.apps.experiments import matrix, workers
from ecl.apps.experiments.matrix import _Budget, run_matrix
from ecl.apps.experiments.plan import plan, read_matrix
from ecl.apps.experiments.table import write_table
from ecl.datasets import Digits
from ecl.engine.resume.processes import EXIT_STOPPED
from ecl.errors import UserError

COMPARISONS = Path(__file__).parents[3] / 'configs/comparison'

# Stands in for a training: its record tells the seed and the order in which the runs were started.
FAKE = """
import json, os, pathlib, sys
told = json.loads(sys.argv[1])
folder, options = pathlib.Path(told['work_dir']), told['cfg_options']
with (folder.parents[1] / 'started').open('a') as file:
    print(folder.relative_to(folder.parents[1]), os.environ['OMP_NUM_THREADS'], file=file)
if options.get('train_cfg.val_interval') == 7 and not (folder / 'mended').exists():
    sys.exit('error: é has no luck')
overall = 50.0 + told['seed']
metrics = {'shot/overall': overall, 'shot/few': 10.0, 'shot/expert0/overall': overall - 10,
           'shot/expert1/overall': overall - 20}
(folder / 'cost.json').write_text(json.dumps(dict(parameters=5e6, multiply_adds=7e6,
    training_multiply_adds=2e7, views=2)))
(folder / 'results.json').write_text(json.dumps(dict(config=told['config'], seed=told['seed'],
    epochs=2, wall_seconds=3.0, versions=dict(torch='9'), protocol={}, metrics=metrics)))
if options.get('train_cfg.val_interval') == 8 and not (folder / 'mended').exists():
    sys.exit('error: no variant')
for name in told['variants']:
    (folder / name).write_text(json.dumps(dict(metrics={'shot/overall': 1.0})))
"""


@pytest.fixture
def write_matrix(tmp_path, digits_config):
    """Write a matrix over the digits configuration, in the form of its rows."""

    def write(*rows, seeds=(0, 1)):
        path = tmp_path / 'matrix.yaml'
        rows = [{'config': os.path.relpath(digits_config, tmp_path), **row} for row in rows]
        rows = [{k: v for k, v in row.items() if v is not None} for row in rows]
        path.write_text(json.dumps(dict(title='Try it', seeds=list(seeds), rows=rows)))
        return path

    return write


@pytest.fixture
def fake_training(monkeypatch, tmp_path):
    """Replace the trainings; returns a list of what was started so far."""
    monkeypatch.setattr(workers, 'JOB', (sys.executable, '-c', FAKE))
    monkeypatch.setattr(matrix, 'INTERVAL', 0.05)

    def started():
        file = tmp_path / 'work/started'
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []

    return started


A = {'name': 'A'}
UNLUCKY = {'name': 'B (unlucky)', 'cfg_options': {'train_cfg.val_interval': 7}}


def test_all_rows_take_turns_seed_by_seed_and_once(write_matrix, fake_training, tmp_path, capsys):
    path = write_matrix(A, {'name': 'C'}, seeds=[3, 4])
    rows = run_matrix(path, tmp_path / 'work', tmp_path / 'out/table.v1')
    order = ['a/seed3', 'c/seed3', 'a/seed4', 'c/seed4']
    assert fake_training() == order
    assert [row['mean']['overall'] for row in rows] == [53.5, 53.5]
    assert json.loads((tmp_path / 'out/table.v1.json').read_text())['rows'] == rows
    assert (tmp_path / 'out/table.v1.md').read_text() in capsys.readouterr().out
    run_matrix(path, tmp_path / 'work')
    assert fake_training() == order


def test_a_failure_is_told_and_the_rest_goes_on(write_matrix, fake_training, tmp_path, capsys):
    path = write_matrix(UNLUCKY, A, seeds=[0])
    with pytest.raises(UserError, match=r'1 of 2 trainings failed: B \(unlucky\), seed 0 \(.*log'):
        run_matrix(path, tmp_path / 'work', jobs=2)
    assert 'error: é has no luck' in capsys.readouterr().out
    rows = json.loads((tmp_path / 'work/table.json').read_text())['rows']
    assert [len(row['runs']) for row in rows] == [0, 1]
    (tmp_path / 'work/b-unlucky/seed0/mended').touch()
    assert [len(row['runs']) for row in run_matrix(path, tmp_path / 'work')] == [1, 1]
    assert sorted(fake_training()) == ['a/seed0', 'b-unlucky/seed0', 'b-unlucky/seed0']


def test_a_matrix_on_windows(write_matrix, fake_training, tmp_path, monkeypatch, capsys):
    read = Path.read_text
    monkeypatch.setattr(
        Path, 'read_text', lambda path, encoding='cp1252', errors=None: read(path, encoding, errors)
    )
    monkeypatch.delattr(signal, 'SIGKILL')
    with pytest.raises(UserError, match='2 of 4 trainings failed'):
        run_matrix(write_matrix(A, UNLUCKY), tmp_path / 'work', jobs=4)
    shown = capsys.readouterr().out
    assert 'é has no luck' in shown
    assert '50.50 ± 0.71' in shown


def test_a_failed_variant_leaves_its_cells_empty_and_is_tried_again(
    write_matrix, fake_training, tmp_path
):
    variants = {'label only': {'model.head.predict_with': 'label'}}
    row = {**A, 'variants': variants, 'cfg_options': {'train_cfg.val_interval': 8}}
    path = write_matrix(row, seeds=[0])
    with pytest.raises(UserError, match=r'1 of 1 trainings failed'):
        run_matrix(path, tmp_path / 'work')
    run, variant = json.loads((tmp_path / 'work/table.json').read_text())['rows']
    assert (run['seeds'], run['mean']['overall']) == ([0], 50)
    assert (variant['seeds'], variant['mean']) == ([], {})
    (tmp_path / 'work/a/seed0/mended').touch()
    run, variant = run_matrix(path, tmp_path / 'work')
    assert (run['seeds'], variant['mean']['overall']) == ([0], 1)


@pytest.mark.parametrize(('given', 'expected'), [(None, '1'), ('3', '3')])
def test_jobs_share_the_cores(write_matrix, fake_training, tmp_path, monkeypatch, given, expected):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if given:
        monkeypatch.setenv('OMP_NUM_THREADS', given)
    run_matrix(write_matrix(A), tmp_path / 'work', jobs=1000)
    threads = [line.split()[1] for line in (tmp_path / 'work/started').read_text().splitlines()]
    assert threads == [expected, expected]


def test_a_table_kept_elsewhere_counts_as_done(write_matrix, fake_training, tmp_path):
    out = tmp_path / 'kept'
    before = run_matrix(write_matrix(A, seeds=[0, 1]), tmp_path / 'work', out)
    (tmp_path / 'work/started').unlink()
    shutil.rmtree(tmp_path / 'work/a')
    after = run_matrix(write_matrix(A, {'name': 'C'}, seeds=[0, 1, 2]), tmp_path / 'work', out)
    # The same configuration under another name, with the same seed, is the same training.
    assert fake_training() == ['a/seed2', 'c/seed2']
    assert after[0]['runs'][:2] == before[0]['runs']
    changed = {**A, 'cfg_options': {'train_cfg.val_interval': 3}, 'name': 'changed'}
    run_matrix(write_matrix(changed, seeds=[0]), tmp_path / 'work', out)
    assert fake_training()[2:] == ['changed/seed0']


def test_a_kept_run_names_what_it_changes_of_the_defaults_of_now(
    write_matrix, fake_training, tmp_path
):
    out = tmp_path / 'kept'
    run_matrix(write_matrix(A, seeds=[0]), tmp_path / 'work', out)
    options = {'model.head.predict_with': 'label'}  # the default itself: the same training
    (row,) = run_matrix(write_matrix({**A, 'cfg_options': options}, seeds=[0]), tmp_path / 'w', out)
    assert len(fake_training()) == 1
    assert row['runs'][0]['cfg_options'] == options


def test_results_of_another_configuration_are_not_taken_over(write_matrix, fake_training, tmp_path):
    run_matrix(write_matrix(A), tmp_path / 'work')
    changed = write_matrix({**A, 'cfg_options': {'train_cfg.val_interval': 3}})
    with pytest.raises(UserError, match=r'a/seed0 holds a run of another configuration'):
        run_matrix(changed, tmp_path / 'work')


def test_a_variant_added_later_trains_nothing_again(write_matrix, fake_training, tmp_path):
    run_matrix(write_matrix(A, seeds=[0]), tmp_path / 'work')
    variants = {'label only': {'model.head.predict_with': 'label'}}
    run, variant = run_matrix(
        write_matrix({**A, 'variants': variants}, seeds=[0]), tmp_path / 'work'
    )
    assert (run['name'], variant['name']) == ('A', 'A: label only')
    assert (run['mean']['overall'], variant['mean']['overall']) == (50, 1)


def test_options_of_all_rows_give_way_to_those_of_a_row_and_the_command_to_neither(write_matrix):
    path = write_matrix(A, {'name': 'C', 'cfg_options': {'train_cfg.val_interval': 3}})
    content = json.loads(path.read_text())
    content['cfg_options'] = {'train_cfg.val_interval': 2, 'train_cfg.max_epochs': 9}
    path.write_text(json.dumps(content))
    _, _, rows = read_matrix(path)
    assert [row.cfg_options['train_cfg.val_interval'] for row in rows] == [2, 3]
    _, _, rows = read_matrix(path, {'train_cfg.max_epochs': 5, 'train_cfg.val_interval': 4})
    assert [row.cfg_options['train_cfg.max_epochs'] for row in rows] == [5, 5]
    assert [row.cfg_options['train_cfg.val_interval'] for row in rows] == [4, 3]


@pytest.mark.parametrize('path', sorted(COMPARISONS.glob('*.yaml')), ids=lambda path: path.stem)
def test_every_configuration_of_a_comparison_can_be_used(path, tmp_path, digits_config):
    # As the preparation writes them, side by side.
    probe = digits_config.parents[1] / 'linear_probe/linear_probe_r8_digits-lt.py'
    (tmp_path / 'config.py').write_text(f'_base_ = {str(digits_config)!r}\n')
    (tmp_path / 'probe.py').write_text(f'_base_ = {str(probe)!r}\n')
    _, seeds, rows = read_matrix(path, config=tmp_path / 'config.py')
    runs = plan(rows, seeds, tmp_path / 'work', tmp_path / 'table.json')
    assert len(runs) == len(rows) * len(seeds)
    assert len({run.fingerprint for run in runs}) == len(rows)


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ([{'nmae': 'A'}], "unknown key 'nmae'; did you mean 'name'"),
        ([{'name': 'A'}, {'name': 'a!'}], "several rows are named 'a'"),
        ([{'config': 'gone.py'}], r'gone\.py does not exist'),
        ([{'name': 'A', 'config': None}], r"'config' is missing .* --config"),
        ([{'cfg_options': {'model.hed.expert': 1}}], "did you mean 'head'"),
        ([{'variants': {'x': {'model.hed.expert': 1}}}], "did you mean 'head'"),
        ([], "'rows' is missing"),
        ([{'cfg_options': [1]}], r'cfg_options: got \[1\], expected names'),
    ],
)
def test_mistakes_are_told_before_any_training(
    write_matrix, fake_training, tmp_path, rows, message
):
    with pytest.raises(UserError, match=message):
        run_matrix(write_matrix(*rows), tmp_path / 'work')
    assert not fake_training()


@pytest.mark.parametrize('text', ['{', '[1, 2]'])
def test_a_file_that_is_no_matrix(tmp_path, text):
    (tmp_path / 'm.json').write_text(text)
    with pytest.raises(UserError, match=r'm\.json'):
        run_matrix(tmp_path / 'm.json', tmp_path / 'work')


def _record(seed, overall, **metrics):
    metrics = {'shot/overall': overall, 'shot/expert0/overall': overall, **metrics}
    return dict(
        seed=seed,
        epochs=4,
        wall_seconds=10.0 + seed,
        metrics=metrics,
        variants={'v': {'shot/overall': overall / 2}},
        cost=dict(
            parameters=1_520_000,
            multiply_adds=20_000_000,
            training_multiply_adds=60_000_000,
            views=1,
        ),
        protocol=dict(source='Digits', evaluated=dict(source='Digits', split='test')),
        versions=dict(torch='2'),
    )


def test_class_balanced_accuracy_is_shown_where_the_test_data_are_not_balanced(tmp_path):
    rows = [
        ('even', [], [_record(0, 40.0, **{'shot/balanced': 40.0})]),
        ('skewed', [], [_record(0, 40.0, **{'shot/balanced': 31.5})]),
    ]
    even, skewed = write_table('Heading', rows, tmp_path / 'table')
    assert 'balanced' not in even['mean']
    assert skewed['mean']['balanced'] == 31.5
    assert ' 31.50 |' in (tmp_path / 'table.md').read_text()


def test_metrics_of_other_classes_are_further_columns(tmp_path):
    own = _record(0, 40.0, **{'worst/class': 12.5, 'calibration/ECE': 3.0})
    rows = [('own', [], [own, _record(1, 41.0, **{'worst/class': 13.5})])]
    rows += [('plain', [], [_record(0, 39.0)])]
    line, plain = write_table('Heading', rows, tmp_path / 'table')
    assert line['mean']['worst/class'] == 13
    assert 'calibration/ECE' not in line['mean']
    assert 'worst/class' not in plain['mean']
    head, _, first, second = [
        [cell.strip() for cell in text.split('|')[1:-1]]
        for text in (tmp_path / 'table.md').read_text().splitlines()
        if text.startswith('|')
    ]
    place = head.index('worst/class')
    assert (first[place], second[place]) == ('13.00 ± 0.71', '-')


def test_table(tmp_path):
    runs = [_record(0, 40.0), _record(1, 41.0), _record(2, 45.0, **{'shot/expert1/overall': 41.0})]
    rows = [('one', ['v'], runs), ('single', [], runs[:1]), ('none yet', [], [])]
    lines = write_table('Heading', rows, tmp_path / 'table')
    assert lines[0]['mean']['overall'] == 42
    assert lines[0]['std']['overall'] == pytest.approx(stdev([40, 41, 45]))
    assert lines[0]['mean']['one expert'] == pytest.approx((40 + 41 + 43) / 3)
    assert lines[0]['mean']['seconds_per_epoch'] == 11 / 4
    assert 'std' not in lines[2]
    text = (tmp_path / 'table.md').read_text()
    cells = [
        [c.strip() for c in line.split('|')[1:-1]] for line in text.splitlines() if '|' in line
    ]
    head, _, one, variant, single, none = cells
    assert dict(zip(head, one, strict=True)) == {
        'method': 'one',
        'seeds': '3',
        'epochs': '4',
        'overall': '42.00 ± 2.65',
        'many': '-',
        'medium': '-',
        'few': '-',
        'one expert': '41.33 ± 1.53',
        's/epoch': '2.8',
        'parameters': '1.52 M',
        'multiply-adds': '20.0 M',
        'training': '60.0 M',
        'views': '1',
    }
    assert variant[:4] == ['one: v', '3', '4', '21.00 ± 1.32']
    assert single[3] == '40.00'
    assert none[1] == '0'
    assert set(none[2:]) == {'-'}
    assert 'source Digits, evaluated (source Digits, split test)' in text


def test_a_training_that_counts_iterations_has_no_epochs(tmp_path):
    record = _record(0, 40.0) | {'epochs': None}
    (line,) = write_table('Heading', [('one', [], [record])], tmp_path / 'table')
    assert line['mean']['seconds_per_epoch'] == 10
    *_, row = (text for text in (tmp_path / 'table.md').read_text().splitlines() if '| one' in text)
    assert [cell.strip() for cell in row.split('|')[1:4]] == ['one', '1', '-']


def test_five_methods_on_own_images(tmp_path, monkeypatch, digits_config):
    digits = Digits(split='train')
    for index in range(60):
        folder = tmp_path / 'photos' / ('odd' if digits[index]['gt_label'] % 2 else 'even')
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[index]['img']).resize((16, 16)).save(folder / f'{index}.png')
    monkeypatch.chdir(tmp_path)
    prepare_folder('photos', 'mine', base=digits_config.parent / 'ecl_r32_lists-32px.py')
    options = {
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'param_scheduler': [],
        'model.backbone.backbone.depth': 8,
    }
    lines = run_matrix(
        COMPARISONS / 'own_images.yaml', 'work', cfg_options=options, config='mine/config.py'
    )
    assert [line['name'] for line in lines] == [
        'cross-entropy',
        'LDAM-DRW',
        'balanced softmax',
        'mutual distillation',
        'ECL',
    ]
    assert all(0 <= line['mean']['overall'] <= 100 for line in lines)
    costs = [line['cost']['training_multiply_adds'] for line in lines]
    assert costs[0] == costs[1] == costs[2] < costs[3] / 2.5
    assert (tmp_path / 'work/table.png').is_file()


def _wait_for(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def run_tool(tmp_path):
    """Start the tool in a process of its own, which does not outlive the test."""
    root = Path(ecl.__file__).parents[1]
    started = []

    def start(path):
        command = [sys.executable, root / 'tools/analysis/matrix.py', path]
        environment = {**os.environ, 'PYTHONPATH': str(root), 'CUDA_VISIBLE_DEVICES': ''}
        # Threads of the test's neighbours would wait for each other: one for the training.
        command += ['--work-dir', tmp_path / 'work', '--jobs', str(os.cpu_count())]
        process = subprocess.Popen(command, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait()


def test_a_killed_matrix_leaves_no_training_behind_and_goes_on(write_matrix, run_tool, tmp_path):
    options = {'train_cfg.max_epochs': 2, 'default_hooks.checkpoint.interval': 1}
    variants = {'label only': {'model.head.predict_with': 'label'}}
    path = write_matrix({**A, 'cfg_options': options, 'variants': variants}, seeds=[1])
    folder = tmp_path / 'work/a/seed1'
    killed = run_tool(path)
    _wait_for(lambda: (folder / 'last_checkpoint').is_file() or killed.poll() is not None)
    killed.send_signal(signal.SIGTERM)
    assert killed.wait() == 130
    with alone_in(folder):
        pass  # nobody else is there
    assert not (folder / 'cost.json').exists()

    run, variant = run_matrix(path, tmp_path / 'work', jobs=os.cpu_count())
    assert (folder / 'matrix.log').read_text().count('epoch 1/2') == 1
    (record,) = run['runs']
    assert (record['epochs'], record['seed'], record['cost']['views']) == (2, 1, 2)
    assert variant['mean'].keys() >= {'overall', 'many', 'few', 'one expert'}


# Stands in for a training that ends as its options say.
ENDS = """
import json, os, sys
told = json.loads(sys.argv[1])
end = told['cfg_options']['train_cfg.val_interval']
if end > 128:
    os.kill(os.getpid(), end - 128)
sys.exit(end)
"""


def test_the_end_of_a_training_is_told(write_matrix, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, 'JOB', (sys.executable, '-c', ENDS))
    monkeypatch.setattr(matrix, 'INTERVAL', 0.05)
    ends = {'killed': 128 + signal.SIGKILL, 'crashed': 128 + signal.SIGSEGV}
    ends |= {'stopped': EXIT_STOPPED, 'wrong': 2}
    rows = [
        {'name': name, 'cfg_options': {'train_cfg.val_interval': end}} for name, end in ends.items()
    ]
    with pytest.raises(UserError, match='3 of 4 trainings failed') as failed:
        run_matrix(write_matrix(*rows, seeds=[0]), tmp_path / 'work', jobs=4)
    assert 'stopped' not in str(failed.value)
    shown = capsys.readouterr().out.splitlines()
    told = {name: next(x for x in shown if x.startswith(f'{name}, seed 0')) for name in ends}
    assert 'SIGKILL' in told['killed']
    assert 'memory' in told['killed']
    assert 'SIGSEGV' in told['crashed']
    assert 'memory' not in told['crashed']
    assert 'stopped; run the command again' in told['stopped']
    assert 'FAILED' not in told['stopped']
    assert 'SIG' not in told['wrong']


# Stands in for a training that runs until it is saved by SIGTERM.
WAITS = """
import json, os, pathlib, signal, sys, time
from ecl.engine.resume.processes import end_with
folder = pathlib.Path(json.loads(sys.argv[1])['work_dir'])
def save(number, frame):
    (folder / 'saved').touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
end_with(int(sys.argv[2]), signal.SIGTERM)
(folder / 'ready').touch()
time.sleep(300)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='the end of a parent is told on Linux only')
@pytest.mark.parametrize('number', [signal.SIGUSR1, signal.SIGKILL])
def test_no_training_outlives_its_matrix(write_matrix, tmp_path, number):
    script = (
        'import sys\n'
        'from ecl.apps.cli import run_tool\n'
        'from ecl.apps.commands.experiments import matrix\n'
        'from ecl.apps.experiments import workers\n'
        f'workers.JOB = (sys.executable, "-c", {WAITS!r})\n'
        'run_tool(matrix)'
    )
    command = [sys.executable, '-c', script, write_matrix(A, seeds=[0])]
    process = subprocess.Popen([*command, '--work-dir', tmp_path / 'work'])
    folder = tmp_path / 'work/a/seed0'
    try:
        _wait_for(lambda: (folder / 'ready').exists() or process.poll() is not None)
        process.send_signal(number)
        assert process.wait(120) == (-number if number == signal.SIGKILL else 130)
        _wait_for((folder / 'saved').exists)
    finally:
        process.kill()


class Counted:
    """Stands for a run that has finished some of 100 epochs."""

    epochs = 100

    def __init__(self):
        self.done = 0

    def finished_epochs(self):
        return self.done


def test_a_training_that_ends_early_counts_for_the_pace(monkeypatch):
    seconds = iter([0.0, 0.0, 1.0, 10.0, 12.0])
    monkeypatch.setattr('ecl.apps.experiments.matrix.time.monotonic', lambda: next(seconds))
    budget = _Budget(600)
    fast, slow, last = Counted(), Counted(), Counted()
    left_out = []
    for epochs, running in (
        ((0, 0, 0), [fast, slow]),
        ((40, 1, 0), [fast, slow]),
        ((100, 10, 0), [slow, last]),
        ((100, 12, 3), [slow, last]),
    ):
        fast.done, slow.done, last.done = epochs
        left_out += budget.exceeded_by(running, [])
    assert not left_out


def test_a_budget_of_minutes_leaves_out_what_does_not_fit(monkeypatch):
    now = 0.0
    monkeypatch.setattr('ecl.apps.experiments.matrix.time.monotonic', lambda: now)
    budget = _Budget(100)
    first, second, third = runs = [Counted() for _ in range(3)]
    for run in runs:
        run.epochs = 10
    left_out = {}
    for now, first.done in ((1, 0), (5, 1), (25, 5), (30, 6), (100, 9)):
        left_out[now] = budget.exceeded_by([first], [second, third])
    # Four epochs in 20 seconds are 0.2 a second. Of the 75 seconds that are left at second 25, 0.9
    # give 13.5 epochs: five of the first run and not ten more.
    assert left_out == {1: [], 5: [], 25: [second, third], 30: [], 100: [first]}
