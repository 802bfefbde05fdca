"""Kill trainings at random moments, resume them and compare: python tests/soak.py --kills 20"""

import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from rich.progress import track

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.train import train
from ecl.apps.cli import add_cfg_options, run_tool
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.resume.atomic_file import write_text
from ecl.errors import UserError

LOG = 'soak.log'
#: Seconds that torchrun gives its processes to end after a signal.
GRACE = 30
# What tells of the clock, the machine or the folder, and so differs between any two runs.
_OWN = {
    *('time', 'data_time', 'eta', 'memory', 'wall_seconds'),
    *('experiment_name', 'mmengine_version', 'cfg', 'best_ckpt'),
}


def soak(
    config: str | Path,
    kills: int = 20,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    processes: int = 1,
    signal_name: str = 'KILL',
    seed: int = 0,
) -> dict[str, Any]:
    """Train once undisturbed; then train, stop at a random moment, resume and compare, many times.

    Args:
        config: A configuration file, of a short training on the CPU.
        kills: How often.
        work_dir: Folder of the trainings. By default ``work_dirs/soak``.
        out: JSON file for the result.
        cfg_options: Values by dotted key that replace those of the file.
        processes: Of each training; above 1 they talk through gloo, and all are stopped.
        signal_name: What stops them: 'KILL', 'TERM', 'USR1' or 'INT'.
        seed: Of the moments.

    Returns:
        ``kills``; ``survived``: resumed trainings that came to their end; ``identical``: those of
        them in which nothing differed; ``moments``: for each kill the seconds since the start, the
        newest checkpoint that it left (null before the first), the exit status of the stopped and
        of the resumed training, and what differs (null if it did not come to its end).

    Raises:
        UserError: If the folder is in use, or the undisturbed training fails.
    """
    folder = Path(work_dir or 'work_dirs/soak')
    options = dict(cfg_options or {})
    if any(folder.glob('*/')):
        raise UserError(f'{folder} holds an earlier soak: remove it, or choose another --work-dir')
    number, rng = signal.Signals[f'SIG{signal_name}'], random.Random(seed)
    started = time.monotonic()
    if _finish(_start(config, folder / 'undisturbed', options, processes)):
        raise UserError(f'the undisturbed training failed: see {folder}/undisturbed/{LOG}')
    duration = time.monotonic() - started
    moments = []
    for index in track(range(kills), f'SIG{signal_name}'):
        trial = folder / f'kill{index}'
        moments.append(_stop_once(config, trial, options, processes, number, duration, rng))
        status = _finish(_start(config, trial, options, processes))
        moments[-1]['resumed'] = status
        moments[-1]['differences'] = (
            differences(folder / 'undisturbed', trial) if status == 0 else None
        )
    result = {
        'config': str(config),
        'cfg_options': options,
        'processes': processes,
        'signal': f'SIG{signal_name}',
        'kills': kills,
        'survived': sum(moment['resumed'] == 0 for moment in moments),
        'identical': sum(moment['differences'] == [] for moment in moments),
        'torch': torch.__version__,
        'moments': moments,
    }
    print(f'{kills} kills, {result["survived"]} survived, {result["identical"]} identical')
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + '\n')
    return result


def differences(one: str | Path, other: str | Path) -> list[str]:
    """Compare two finished trainings of one configuration, bit by bit.

    Compared are the last checkpoint (weights, buffers, optimizer, schedulers, log values, progress
    and what each process has for itself), the metrics of ``results.json``, the recorded
    distillation weights, and every line that either wrote to its log of scalars.

    Args:
        one: Work dir of a training.
        other: Work dir of another.

    Returns:
        Names of what differs; empty if nothing does.
    """
    left, right = (dict(_leaves(_contents(Path(folder)))) for folder in (one, other))
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def _contents(folder: Path) -> dict[str, Any]:
    checkpoint = load_checkpoint(latest_checkpoint(folder) or folder / 'last_checkpoint')
    content = {'checkpoint': checkpoint, 'log': {}}
    content['metrics'] = json.loads((folder / RECORD).read_text())['metrics']
    if (folder / 'distill_weights.npz').is_file():
        with np.load(folder / 'distill_weights.npz') as arrays:
            content['distillation'] = dict(arrays)
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the last line of a process that was killed
                continue
            key = f'{"train" if "lr" in entry else "val"} {entry["step"]}'
            # A step that was repeated has to be the same each time.
            content['log'].setdefault(key, {})
            for name, value in entry.items():
                content['log'][key].setdefault(name, set()).add(value)
    return content


def _leaves(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Path and content of everything in nested containers that has to be the same."""
    if isinstance(node, HistoryBuffer):
        node = dict(enumerate(node.data))
    if isinstance(node, list | tuple):
        node = dict(enumerate(node))
    if isinstance(node, Mapping):
        for key, value in node.items():
            if str(key).rpartition('/')[2] not in _OWN:
                yield from _leaves(value, f'{path}.{key}'.lstrip('.'))
    elif isinstance(node, torch.Tensor):
        yield path, (node.dtype, tuple(node.shape), node.contiguous().numpy().tobytes())
    elif isinstance(node, np.ndarray):
        yield path, (node.dtype, node.shape, node.tobytes())
    else:
        yield path, repr(node)


def _stop_once(
    config: str | Path,
    folder: Path,
    options: dict[str, Any],
    processes: int,
    number: signal.Signals,
    duration: float,
    rng: random.Random,
) -> dict[str, Any]:
    """Start a training and stop it before it ends."""
    while True:
        moment = rng.uniform(0, duration)
        running = _start(config, folder, options, processes)
        time.sleep(moment)
        alive = [process for process in running if process.is_alive()]
        for process in alive:
            os.kill(process.pid, number)
        status = _finish(_in_time(running))
        # It may have been faster than the undisturbed one.
        if len(alive) == processes and status != 0:
            newest = latest_checkpoint(folder)
            return {
                'seconds': round(moment, 2),
                'checkpoint': newest and Path(newest).name,
                'stopped': status,
            }
        duration = moment


def _start(config: str | Path, folder: Path, options: dict[str, Any], processes: int) -> list[Any]:
    """Start the processes of a training; forked, they need not import everything anew."""
    context = multiprocessing.get_context('fork')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        place = {'RANK': rank, 'LOCAL_RANK': rank, 'WORLD_SIZE': processes, 'MASTER_PORT': port}
        process = context.Process(target=_train, args=(config, folder, options, place))
        process.start()
        started.append(process)
    return started


def _in_time(processes: list[Any]) -> list[Any]:
    """Kill the processes that a signal does not end in time, as a launcher does; return the others.

    A process that waits for the start of another one, which the signal has ended, handles the
    signal only after its own timeout of minutes.
    """
    for process in processes:
        process.join(GRACE)
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.kill()
        process.join()
    return [process for process in processes if process not in late]


def _finish(processes: list[Any]) -> int:
    """Wait for the processes of a training; the exit status, 0 if all have ended well."""
    for process in processes:
        process.join()
    return next((process.exitcode for process in processes if process.exitcode), 0)


def _train(
    config: str | Path, folder: Path, options: dict[str, Any], place: dict[str, int]
) -> None:
    """A process of a training, which goes on from what it finds."""
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.environ.update({key: str(value) for key, value in place.items()}, MASTER_ADDR='127.0.0.1')
    launcher = 'pytorch' if place['WORLD_SIZE'] > 1 else 'none'
    train(config, folder, resume='auto', cfg_options=options, launcher=launcher)


SIGNALS = ('KILL', 'TERM', 'USR1', 'INT')
CONFIG = 'configs/ecl/ecl_r8_digits-lt.py'
SHORT = {
    'train_cfg.max_epochs': 4,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.logger.interval': 1,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and soak."""
    parser = ArgumentParser(
        description='Train, kill at a random moment, resume, and compare with a training that was '
        'left alone; over and over.'
    )
    parser.add_argument('config', nargs='?', default=CONFIG, help=f'default: {CONFIG}, 4 epochs')
    parser.add_argument('--kills', type=int, default=20, help='how often (default: 20)')
    parser.add_argument(
        '--signal', dest='signal_name', default='KILL', help='KILL, TERM, USR1, INT'
    )
    parser.add_argument('--processes', type=int, default=1, help='processes of each training')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    parser.add_argument('--work-dir', help='folder of the trainings; default: work_dirs/soak')
    parser.add_argument('--out', metavar='FILE.json', help='write the result to this file')
    add_cfg_options(parser)
    arguments = vars(parser.parse_args(argv))
    short = SHORT if arguments['config'] == CONFIG else {}
    arguments['cfg_options'] = {**short, **(arguments['cfg_options'] or {})}
    soak(**arguments)


if __name__ == '__main__':
    run_tool(main)
