import json
import subprocess
from pathlib import Path

import pytest

from ecl.apis import test as evaluate


def _run(command: list, environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=240
    )


def test_two_processes_train_without_a_gpu(tools, digits_config, environment, tmp_path):
    # The space checks the quoting.
    work_dir = tmp_path / 'work dir'
    result = _run(
        [
            tools / 'dist_train.sh',
            digits_config,
            '2',
            '--work-dir',
            work_dir,
            '--cfg-options',
            'train_cfg.max_epochs=1',
        ],
        environment,
        tmp_path,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    # Results are exchanged in the work dir, not in the current folder, and then removed.
    assert not (tmp_path / '.dist_test').exists()
    assert not list(work_dir.rglob('part_*.pkl'))
    assert '| ensemble ' in result.stdout + result.stderr
    log = next(work_dir.glob('*/*.log')).read_text()
    assert 'Step: 32 images (2 processes x 16 images), learning rate 0.1' in log
    record = json.loads((work_dir / 'results.json').read_text())
    assert record['epochs'] == 1
    # Each process ends the epoch with norm statistics of its own; the checkpoint has to stand
    # for those the validation saw.
    metrics = evaluate(digits_config, work_dir / 'epoch_1.pth', work_dir=tmp_path)
    assert {k: v for k, v in metrics.items() if 'shot/' in k} == pytest.approx(record['metrics'])


def test_a_mistake_in_several_processes_keeps_its_line_and_status(tools, environment, tmp_path):
    command = [tools / 'dist_test.sh', 'missing.py', 'missing.pth', '1']
    result = _run(command, environment, tmp_path)
    assert result.returncode == 2
    assert 'error: configuration file missing.py does not exist' in result.stderr
    assert 'Traceback' not in result.stderr


FAKE_PYTHON = '#!/bin/sh\necho "OMP=$OMP_NUM_THREADS"\nfor word; do echo "$word"; done\n'


@pytest.fixture
def words_of(tools, environment, tmp_path):
    """Run a script with an interpreter that only prints its arguments."""
    fake = tmp_path / 'python'
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)

    def run(*command: str, **variables: str) -> list[str]:
        variables = {**environment, 'PYTHON': str(fake), **variables}
        script, *arguments = command
        result = _run([tools / script, *arguments], variables, tmp_path)
        assert result.returncode == 0, result.stderr
        return [line.replace(f'{tools}/', '') for line in result.stdout.splitlines()]

    return run


def test_one_machine_looks_for_a_free_port(words_of, environment):
    environment.pop('OMP_NUM_THREADS')
    assert words_of('dist_train.sh', 'a b.py', '4', '--seed', '1') == [
        *('OMP=1', '_torchrun.py', '--standalone', '--nproc_per_node', '4'),
        *('train.py', 'a b.py', '--seed', '1', '--launcher', 'pytorch'),
    ]


def test_several_machines_meet_at_the_address_and_port(words_of):
    place = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='1234')
    assert words_of('dist_test.sh', 'a.py', 'b c.pth', '8', **place) == [
        *('OMP=1', '_torchrun.py', '--nnodes', '2', '--node_rank', '1'),
        *('--master_addr', '10.0.0.1', '--master_port', '1234', '--nproc_per_node', '8'),
        *('test.py', 'a.py', 'b c.pth', '--launcher', 'pytorch'),
    ]


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_too_few_arguments_show_the_usage(script, tools, environment, tmp_path):
    result = _run([tools / script, 'a.py'], environment, tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')


FAKE_SRUN = """#!/bin/sh
# Stands in for Slurm: shows its options, then runs the command as the one node would.
while [ "$1" != bash ]; do echo "srun $1"; shift; done
export SLURM_JOB_ID=77 SLURM_JOB_NUM_NODES=2 SLURM_JOB_NODELIST='node[1-2]'
exec "$@"
"""
FAKE_SCONTROL = '#!/bin/sh\nprintf "node1\\nnode2\\n"\n'


def test_slurm_starts_one_torchrun_on_each_node(words_of, environment, tmp_path):
    for name, text in (('srun', FAKE_SRUN), ('scontrol', FAKE_SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    words = words_of(
        *('slurm_train.sh', 'gpu', 'my job', 'a b.py', '--seed', '1'),
        PATH=f'{tmp_path}:{environment["PATH"]}',
        NNODES='2',
        GPUS_PER_NODE='4',
        SRUN_ARGS='--exclusive --time 5',
    )
    assert [word[5:] for word in words if word.startswith('srun ')] == [
        *('--partition', 'gpu', '--job-name', 'my job', '--nodes', '2', '--ntasks-per-node', '1'),
        *('--cpus-per-task', '40', '--gres', 'gpu:4', '--kill-on-bad-exit', '1'),
        *('--exclusive', '--time', '5'),
    ]
    assert [word for word in words if not word.startswith('srun ')] == [
        *('OMP=1', '_torchrun.py', '--nnodes', '2', '--nproc_per_node', '4', '--rdzv_id', '77'),
        *('--rdzv_backend', 'c10d', '--rdzv_endpoint', 'node1:29500'),
        *('train.py', 'a b.py', '--seed', '1', '--launcher', 'pytorch'),
    ]
