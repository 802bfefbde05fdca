"""Check a device, and time a training on it: python tools/benchmark/device_check.py OUT"""

import json
import time
import traceback
import warnings
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch.profiler import ProfilerActivity, profile

from _timing import Enough, Stopwatch
from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.config import configs_root
from ecl.apis.train import train
from ecl.apps.cli import run_tool
from ecl.apps.experiments.matrix import run_matrix
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.graph import WARM_UP
from ecl.engine.hooks.run_record import machine
from ecl.engine.resume.atomic_file import write_text
from ecl.errors import UserError

DIGITS = configs_root() / 'ecl/ecl_r8_digits-lt.py'
#: Two epochs in float32, the same in every run.
SHORT = {
    'train_cfg.max_epochs': 2,
    'train_cfg.val_interval': 2,
    'optim_wrapper.optimizer.fused': True,
    'randomness.deterministic': True,
    'env_cfg.cudnn_benchmark': False,
}


class Clock(Hook):
    """Time steps, and end the training after them.

    Args:
        first: Steps before the first timed one.
        steps: Timed steps. After these, the kernels of three further steps are counted, and the
            waits in one more step.
    """

    priority = 'LOWEST'

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps
        self.found: dict[str, Any] = {}

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Start the clock, the profiler or the watch for waits."""
        done = runner.iter - self.first
        if done == 0:
            self._stopwatch = Stopwatch(next(runner.model.parameters()).device)
        if done == self.steps:
            self.found['milliseconds'] = 1000 * self._stopwatch.reading(self.steps).wall
            if torch.cuda.is_available():
                self.found['peak_mib'] = torch.cuda.max_memory_allocated() / 2**20
            activities = [ProfilerActivity.CPU]
            activities += [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self._profiler = profile(activities=activities)
            self._profiler.start()
        if done == self.steps + 3:
            self._stopwatch.restart()  # waits for the device
            self._profiler.stop()
            self._count_kernels()
            self._waits = warnings.catch_warnings(record=True)
            self._seen = self._waits.__enter__()
            warnings.simplefilter('always')
            if torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode('warn')
        if done == self.steps + 4:
            if torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode('default')
            self._waits.__exit__(None, None, None)
            waits = [f'{w.filename}:{w.lineno}' for w in self._seen if 'synchron' in str(w.message)]
            self.found['waits'] = dict(Counter(waits))
            raise Enough

    def _count_kernels(self) -> None:
        on_gpu = [e for e in self._profiler.events() if e.device_type.name == 'CUDA']
        self.found['kernels'] = len(on_gpu) / 3
        self.found['busy_milliseconds'] = sum(e.device_time_total for e in on_gpu) / 3000
        microseconds: Counter[str] = Counter()
        for event in on_gpu:
            microseconds[event.name[:80]] += round(event.device_time_total)
        calls = Counter(event.name[:80] for event in on_gpu)
        # Number and milliseconds of the kernels that take longest.
        self.found['longest'] = {
            name: (calls[name] / 3, total / 3000) for name, total in microseconds.most_common(30)
        }


class StopAfter(Hook):
    """End a training after a number of steps, as SIGTERM does."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Request the end."""
        if runner.iter + 1 == self.steps:
            loop: Any = runner.train_loop
            loop.stop.received = 15


class Burst(Hook):
    """Take one step with a far too high learning rate, after the warm-up of a graph."""

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Raise the learning rate."""
        if runner.iter == WARM_UP + 1:
            for group in runner.optim_wrapper.param_groups:
                group['lr'] = 1e30


class TakeAll(Hook):
    """Allocate more memory than any device has."""

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Ask."""
        torch.empty(1 << 50, device=next(runner.model.parameters()).device)


def step(config: Path, folder: Path, steps: int, graph: bool) -> str:
    """Time a step of a training, and count kernels and waits."""
    clock = Clock(WARM_UP + 2, steps)
    options = {'train_cfg.graph': graph, 'optim_wrapper.optimizer.fused': True}
    with suppress(Enough):
        train(config, folder, cfg_options=options, validate=False, hooks=[clock])
    found = clock.found
    write_text(folder / 'step.json', json.dumps(found, indent=1))
    memory = f', {found["peak_mib"]:.0f} MiB' if 'peak_mib' in found else ''
    return (
        f'{found["milliseconds"]:.2f} ms a step, {found["kernels"]:.0f} kernels, busy '
        f'{found["busy_milliseconds"]:.2f} ms, {sum(found["waits"].values())} waits{memory}'
    )


def weights(folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Train the digits shortly; return the weights."""
    hooks = options.pop('hooks', ())
    changes: Mapping[str, Any] = {**SHORT, **options}
    train(DIGITS, folder, resume='auto', cfg_options=changes, hooks=hooks)
    return load_checkpoint(latest_checkpoint(folder) or folder)['state_dict']


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of two sets of weights, relative to the largest weight."""
    pairs = [(value.double(), other[key].double()) for key, value in one.items()]
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)) for a, b in pairs)


def graph_agrees(folder: Path) -> str:
    """Compare replayed steps with single steps."""
    plain = weights(folder / 'plain')
    graphed = weights(folder / 'graph', **{'train_cfg.graph': True})
    found = difference(plain, graphed)
    if found > 1e-3:
        raise UserError(f'weights differ by {found:.1e}')
    return f'largest relative difference of a weight {found:.1e}'


def resumes(folder: Path, graph: bool) -> str:
    """Compare an interrupted and resumed training bit by bit with an uninterrupted one."""
    options = {'train_cfg.graph': graph}
    whole = weights(folder / 'whole', **options)
    with suppress(SystemExit):
        weights(folder / 'parts', **options, hooks=[StopAfter(WARM_UP + 2)])
    return equal(whole, weights(folder / 'parts', **options))


def together_agrees(config: Path, folder: Path) -> str:
    """Compare one of two alternating trainings bit by bit with the same training alone."""
    options = {**SHORT, 'train_cfg.max_epochs': 1, 'train_cfg.graph': True}
    slow = {'optim_wrapper.optimizer.lr': 0.01}
    rows = [
        dict(name=name, cfg_options=changes) for name, changes in (('one', slow), ('other', {}))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    matrix = folder / 'two.json'
    write_text(matrix, json.dumps(dict(title='Two', seeds=[0], rows=rows)))
    run_matrix(matrix, folder, jobs=2, config=config, cfg_options=options, together=True)
    train(config, folder / 'alone', cfg_options={**options, **slow})
    found = [
        load_checkpoint(latest_checkpoint(path) or path)['state_dict']
        for path in (folder / 'one/seed0', folder / 'alone')
    ]
    return equal(*found)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> str:
    """Expect equal weights."""
    unequal = [key for key, value in one.items() if not torch.equal(value, other[key])]
    if unequal:
        raise UserError(f'{len(unequal)} of {len(one)} tensors differ, such as {unequal[0]}')
    return f'{len(one)} tensors equal'


def refuses(match: str, folder: Path, **options: Any) -> str:
    """Expect a training to end with one line."""
    try:
        weights(folder, **options)
    except UserError as error:
        if match in str(error):
            return str(error)
        raise
    raise UserError('the training did not end')


def check_device(out: str | Path, config: str | Path = DIGITS, steps: int = 40) -> bool:
    """Run all checks; one line each, and ``checks.json``.

    Args:
        out: Folder of the results.
        config: Configuration whose step is timed.
        steps: Timed steps.

    Returns:
        Whether all passed.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    checks: dict[str, Callable[[Path], str]] = {
        'step': lambda path: step(Path(config), path, steps, graph=False),
        'step, graph': lambda path: step(Path(config), path, steps, graph=True),
        'graph as one by one': graph_agrees,
        'resume': partial(resumes, graph=False),
        'resume, graph': partial(resumes, graph=True),
        'loss not finite': lambda path: refuses('as before this step', path, hooks=[Burst()]),
        'loss not finite, graph': lambda path: refuses(
            'as before this step', path, hooks=[Burst()], **{'train_cfg.graph': True}
        ),
        'side by side': lambda path: together_agrees(Path(config), path),
        'out of memory': lambda path: refuses('memory', path, hooks=[TakeAll()]),
    }
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    results = {'machine': machine(device) | {'torch': torch.__version__}}
    print(results['machine'], flush=True)
    passed = True
    for name, check in checks.items():
        path, start = folder / name.replace(', ', '-').replace(' ', '-'), time.monotonic()
        try:
            told = check(path)
        except Exception as error:
            passed = False
            (folder / 'errors.txt').open('a').write(f'{name}\n{traceback.format_exc()}\n')
            told = f'FAILED: {type(error).__name__}: {error}'
        results[name] = told
        print(f'{name}: {told} ({time.monotonic() - start:.0f} s)', flush=True)
        write_text(folder / 'checks.json', json.dumps(results, indent=1))
    return passed


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line."""
    parser = ArgumentParser(description='Check a device, and time a training on it.')
    parser.add_argument('out', help='folder of the results')
    parser.add_argument('--config', default=DIGITS, help='configuration whose step is timed')
    parser.add_argument('--steps', type=int, default=40, help='timed steps')
    raise SystemExit(0 if check_device(**vars(parser.parse_args(argv))) else 1)


if __name__ == '__main__':
    run_tool(main)
