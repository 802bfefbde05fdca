"""Time a training: python tools/benchmark/step.py configs/ecl/ecl_r8_digits-lt.py"""

import json
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from torch import nn

from _timing import (
    Enough,
    InterleaveHook,
    Stopwatch,
    build_loops,
    median_rate,
    median_ratio,
    of_all_processes,
)
from ecl.apis.config import load_config, use_mixed_precision, use_resumable_loop
from ecl.apis.inference import predict_batches
from ecl.apis.launch import LAUNCHERS, set_launcher
from ecl.apps.cli import add_cfg_options, run_tool
from ecl.engine.hooks.run_record import machine
from ecl.engine.resume.atomic_file import check_folder
from ecl.errors import UserError
from ecl.registry import type_name
from ecl.weights import bare_model


def benchmark_step(
    config: str | Path,
    steps: int = 10,
    repeats: int = 7,
    eval_images: int = 2000,
    amp: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> dict[str, Any]:
    """Time the training of a configuration and simpler loops in turn.

    With several processes, the training runs in all of them together. Each other loop runs in each
    process alone, at the same time, so that all cores are as busy as in training. ``ratio`` then
    includes the efficiency of the processes.

    Args:
        config: A training configuration. Nothing of the run is kept.
        steps: Steps in a window.
        repeats: Windows of each loop. Results are medians over them.
        eval_images: Largest number of test images to predict. 0 skips the evaluation.
        amp: Mixed precision in bfloat16.
        cfg_options: Values by dotted key that replace those of the file.
        launcher: ``'none'``, or ``'pytorch'`` in a process that torchrun started.

    Returns:
        - ``images_per_s`` of all processes. ``runner``: the training as it is. ``bare``: the same
          model, losses and update on tensors in memory. ``experts``: forward and backward of the
          experts. ``momentum``: forward of the momentum encoder. ``reference``: float32 in
          contiguous layout, with PIL transforms image by image.
        - ``cpu_images_per_s``: the same by processor time of this process. It is more exact on a
          busy machine, but does not count data workers and waiting.
        - ``ratio``: runner / bare. ``networks_share``: time of experts and momentum encoder / time
          of the step. ``speedup``: runner / reference. Each is a median over neighbouring windows,
          by elapsed time, and as ``cpu_ratio`` and so on by processor time.
        - Of this process: ``data_waiting``, the share of the time that the training waits for a
          batch; ``peak_memory_mb`` of the GPU, or of the process; ``start_up_s``, from reading the
          configuration to the end of the first step; ``evaluation_images_per_s``, or None.
        - ``config``, ``batch_size`` of a process, ``processes``, ``precision``, ``steps``,
          ``repeats``, ``machine``.

    Raises:
        UserError: If the configuration cannot be trained, or ends too early to be timed.
    """
    if steps < 1 or repeats < 1:
        raise UserError(f'steps and repeats must be at least 1, not {steps} and {repeats}')
    with tempfile.TemporaryDirectory() as work_dir:
        cfg = load_config(config, work_dir=work_dir, cfg_options=cfg_options)
        if cfg.get('train_dataloader') is None or cfg.get('train_cfg') is None:
            raise UserError(f'{config} has no train_dataloader or no train_cfg: nothing to time')
        if amp:
            use_mixed_precision(cfg, str(config))
        evaluation = {key: cfg.pop(f'val_{key}', None) for key in ('dataloader', 'evaluator')}
        for key in ('val_cfg', 'test_cfg', 'test_dataloader', 'test_evaluator'):
            cfg.pop(key, None)
        use_resumable_loop(cfg)
        set_launcher(cfg, launcher)
        hook, model = _train(cfg, steps, repeats)
        rate = None
        if evaluation['dataloader'] and eval_images:
            rate = _evaluation_rate(model, evaluation, eval_images, cfg.get('randomness', {}))
    return {
        'config': str(config),
        'batch_size': cfg.train_dataloader.batch_size,
        'processes': get_world_size(),
        'precision': type_name(cfg.optim_wrapper) or 'OptimWrapper',
        'steps': steps,
        'repeats': repeats,
        'machine': machine(next(model.parameters()).device) | {'torch': torch.__version__},
        **_summary(hook, cfg.train_dataloader.batch_size * get_world_size()),
        'evaluation_images_per_s': rate,
    }


def _train(cfg: Config, steps: int, repeats: int) -> tuple[InterleaveHook, nn.Module]:
    def build(runner: Runner, batch: dict) -> dict:
        def optimizer(model: nn.Module) -> torch.optim.Optimizer:
            return build_optim_wrapper(model, cfg.optim_wrapper).optimizer

        return build_loops(bare_model(runner.model), runner.optim_wrapper, batch, optimizer)

    hook = InterleaveHook(build, steps, repeats)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(hook, priority='LOWEST')
    try:
        runner.train()
    except Enough:
        return hook, bare_model(runner.model)
    raise UserError(
        f'the training ended before {repeats} x {steps} of its steps were timed: lower --steps or '
        '--repeats, or raise train_cfg.max_epochs'
    )


def _summary(hook: InterleaveHook, batch_size: int) -> dict[str, Any]:
    processes = all_gather_object(hook.readings)
    loops = {name: of_all_processes([each[name] for each in processes]) for name in processes[0]}
    networks = loops['experts']
    if 'momentum' in loops:
        networks = [
            type(a)(a.wall + b.wall, a.cpu + b.cpu)
            for a, b in zip(loops['experts'], loops['momentum'], strict=True)
        ]
    summary: dict[str, Any] = {}
    for prefix, clock in (('', 'wall'), ('cpu_', 'cpu')):
        rates = {name: median_rate(r, batch_size, clock) for name, r in loops.items()}
        summary[f'{prefix}images_per_s'] = rates
        for name, above, below in (
            ('ratio', loops['bare'], loops['runner']),
            ('networks_share', networks, loops['runner']),
            ('speedup', loops['reference'], loops['runner']),
        ):
            summary[f'{prefix}{name}'] = median_ratio(above, below, clock)
    return {
        **summary,
        'data_waiting': median(hook.waiting),
        'peak_memory_mb': hook.peak_memory,
        'start_up_s': hook.start_up,
    }


@torch.no_grad()
def _evaluation_rate(
    model: ImageClassifier, evaluation: dict, images: int, randomness: Mapping[str, Any]
) -> float:
    """Return the median images per second from the data loader to the metric."""
    loader = Runner.build_dataloader(evaluation['dataloader'], seed=randomness.get('seed'))
    evaluator = Evaluator(evaluation['evaluator'])
    evaluator.dataset_meta = getattr(loader.dataset, 'metainfo', None)
    model.eval()
    watch, rates, seen = Stopwatch(next(model.parameters()).device), [], 0
    for batch, predictions in predict_batches(model, loader):
        evaluator.process(data_samples=predictions, data_batch=batch)
        rates.append(len(predictions) / watch.reading(1).wall)
        seen += len(predictions)
        if seen >= images:
            break
        watch.restart()
    return median(rates)


LOOPS = {
    'runner': 'training as it is',
    'bare': 'same losses and update, tensors in memory',
    'experts': 'experts forward and backward',
    'momentum': 'momentum encoder forward',
    'reference': 'float32, contiguous, PIL image by image',
}

RATIOS = {
    'ratio': 'ratio of training to bare',
    'networks_share': 'share of the networks alone',
    'speedup': 'speed against the reference',
}


def show(result: dict[str, Any]) -> str:
    """Lay out what :func:`benchmark_step` returns, for a terminal.

    Args:
        result: The measurements.

    Returns:
        Lines of text.
    """
    machine, processes = result['machine'], result['processes']
    each = f' in each of {processes} processes' if processes > 1 else ''
    lines = [
        f'{result["config"]}: batch {result["batch_size"]}{each}, {result["precision"]}',
        f'{machine["device"]}, {machine["processor"]}, {machine["cores"]} cores, '
        f'{machine["threads"]} threads, PyTorch {machine["torch"]}',
        '',
        f'{"images/s":>51} {"by CPU time":>12}',
    ]
    by_wall, by_cpu = result['images_per_s'], result['cpu_images_per_s']
    for name, meaning in LOOPS.items():
        if name in by_wall:
            lines.append(f'{meaning:42} {by_wall[name]:8.0f} {by_cpu[name]:12.0f}')
    lines.append('')
    for name, meaning in RATIOS.items():
        lines.append(f'{meaning:42} {result[name]:8.2f} {result[f"cpu_{name}"]:12.2f}')
    lines += [
        f'{"share of time waiting for data":42} {result["data_waiting"]:8.1%}',
        f'{"peak memory (MB)":42} {result["peak_memory_mb"]:8.0f}',
        f'{"start-up to the first step (s)":42} {result["start_up_s"]:8.1f}',
    ]
    if result['evaluation_images_per_s']:
        lines.append(f'{"evaluation (images/s)":42} {result["evaluation_images_per_s"]:8.0f}')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, time, show."""
    parser = ArgumentParser(
        description='Time the training of a configuration beside barer loops over the same model, '
        'in turns, so that their ratios hold on a busy machine too.'
    )
    parser.add_argument('config', help='configuration file')
    parser.add_argument('--json', metavar='FILE', help='write the measurements there')
    parser.add_argument('--steps', type=int, default=10, help='steps in a window; default: 10')
    parser.add_argument('--repeats', type=int, default=7, help='windows of each loop; default: 7')
    parser.add_argument(
        '--eval-images', type=int, default=2000, help='test images to predict; default: 2000'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision in bfloat16')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='under torchrun')
    add_cfg_options(parser)
    arguments = vars(parser.parse_args(argv))
    out = arguments.pop('json')
    if out:
        check_folder(out)
    result = benchmark_step(**arguments)
    if not is_main_process():
        return
    print(show(result))
    if out:
        Path(out).write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    run_tool(main)
