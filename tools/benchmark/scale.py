"""Draw how the cost of a step grows: python tools/benchmark/scale.py CONFIG --out scale"""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from mmcv.cnn import fuse_conv_bn
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from _timing import Stopwatch, train_step
from ecl.apis.config import load_config, use_mixed_precision
from ecl.apps.cli import run_tool
from ecl.engine import DistillWeightHook
from ecl.engine.hooks.run_record import machine
from ecl.engine.methods.class_counts import tell
from ecl.engine.performance import keep_memory
from ecl.engine.resume.atomic_file import check_folder
from ecl.models import ECLHead, ExpertOutputs
from ecl.models.losses import ImageWeighting
from ecl.registry import MODELS

Precision = Callable[[], AbstractContextManager]


def benchmark_losses(
    config: str | Path, batches: tuple[int, ...] = (4, 16), size: int = 224, repeats: int = 3
) -> dict[str, Any]:
    """Time the step of a configuration and its parts that grow with the classes.

    Images are random. The networks run in bfloat16 and the losses in float32, so the share of the
    losses is the largest possible.

    Args:
        config: A training configuration with contrast.
        batches: Images per step.
        size: Side of an image in pixels.
        repeats: Steps of each measurement. The result is the least processor time.

    Returns:
        ``config``, ``classes``, ``image`` and ``batches``. Each batch has milliseconds of the whole
        ``step``, of the ``losses`` (from logits to their gradients, with weights and their record)
        and of the ``classifiers`` (forward and backward), and ``share``, losses / step.
    """
    keep_memory()
    cfg = load_config(config)
    use_mixed_precision(cfg, str(config))
    model: Any = training_model(cfg)
    classes = cfg.model.head.num_classes
    for module in model.modules():
        if isinstance(module, ImageWeighting):
            module.register_forward_hook(DistillWeightHook().accumulate)
    precision = partial(build_optim_wrapper(model, cfg.optim_wrapper).optim_context, model)
    measured = {}
    for batch in batches:
        feats = torch.randn(model.head.num_experts, batch, model.head.in_channels)
        samples = labelled(batch, classes)
        times = {
            'step': least_time(one_step(model, cfg, batch, size), repeats),
            'losses': least_time(_losses(model.head, feats, samples, precision), 3 * repeats),
            'classifiers': least_time(partial(_classify, model.head, feats, precision), repeats),
        }
        measured[batch] = {name: 1e3 * time for name, time in times.items()}
        measured[batch]['share'] = times['losses'] / times['step']
    return {'config': str(config), 'classes': classes, 'image': size, 'batches': measured}


def _losses(
    head: ECLHead, feats: Tensor, samples: list[DataSample], precision: Precision
) -> Callable[[], None]:
    with torch.no_grad(), precision():
        outputs = head.outputs(tuple(feats))
    logits = [x.requires_grad_() for x in (outputs.logits, outputs.aux_logits) if x is not None]

    def step() -> None:
        with precision():
            losses = head.losses(ExpertOutputs(outputs.feats, *logits), head.targets(samples))
        # The loss between features does not grow with the classes.
        total = [v for k, v in losses.items() if k != 'feature_loss']
        torch.autograd.grad(total, logits)

    return step


def _classify(head: ECLHead, feats: Tensor, precision: Precision) -> None:
    with precision():
        outputs = head.outputs(tuple(feats.clone().requires_grad_()))
    logits = [x for x in (outputs.logits, outputs.aux_logits) if x is not None]
    torch.autograd.backward(logits, [torch.ones_like(each) for each in logits])


BATCH, IMAGE = 32, 32
#: Values of each axis, in ascending order.
AXES: dict[str, tuple[int, ...]] = {
    'experts': (1, 2, 3, 4, 5, 6),
    'batch': (16, 32, 64, 128),
    'classes': (100, 1000, 8142),
    'queue': (1024, 4096, 16384, 65536),
    'image': (32, 64, 128, 224),
}
#: Their names in the figure, where they are not clear.
LABELS = {
    'batch': 'images of a batch',
    'queue': 'features in the queue',
    'image': 'side of an image (pixels)',
}
#: Key of the configuration that an axis sets. The other axes set the size of the data.
KEYS = {
    'experts': 'model.backbone.num_experts',
    'classes': 'model.head.num_classes',
    'queue': 'model.contrast.queue_size',
}


def benchmark_scale(
    config: str | Path,
    axes: Mapping[str, tuple[int, ...]] = AXES,
    repeats: int = 3,
    batch: int = BATCH,
) -> dict[str, Any]:
    """Time the bare step of a configuration along several axes, on random images.

    Args:
        config: A training configuration with contrast, of 32-pixel images.
        axes: Values of 'experts', 'batch', 'classes', 'queue' and 'image'. One changes at a time;
            the others are those of the configuration, ``batch`` and 32 pixels.
        repeats: Steps of each measurement. The result is the least processor time.
        batch: Images per step.

    Returns:
        ``milliseconds``: processor time of a step, as ``{axis: {value: time}}``. ``prediction``:
        images per second of processor time, of the ensemble and of cheaper models. ``machine``.
    """
    keep_memory()
    measured: dict[str, dict[int, float]] = {}
    for axis, values in axes.items():
        measured[axis] = {}
        for value in values:
            options = {KEYS[axis]: value} if axis in KEYS else {}
            number = value if axis == 'batch' else batch
            # The same number of pixels at every size, so that the largest size fits.
            size = value if axis == 'image' else IMAGE
            shown = max(1, number * IMAGE**2 // size**2) if axis == 'image' else number
            cfg = load_config(config, cfg_options=options)
            step = one_step(training_model(cfg), cfg, shown, size)
            measured[axis][value] = 1e3 * least_time(step, repeats) * number / shown
    return {
        'config': str(config),
        'machine': machine(torch.device('cpu')) | {'torch': torch.__version__},
        'milliseconds': measured,
        'prediction': _prediction(config, repeats),
    }


def draw_scale(result: Mapping[str, Any]) -> Figure:
    """Draw the cost along each axis.

    Args:
        result: What :func:`benchmark_scale` returns.

    Returns:
        A figure with one panel per axis.
    """
    curves = result['milliseconds']
    rows = -(-len(curves) // 3)
    figure = Figure(figsize=(8, 3 * rows), layout='constrained')
    grid = figure.subplots(rows, 3, squeeze=False)
    for panel in grid.flat[len(curves) :]:
        panel.remove()
    for panel, (axis, times) in zip(grid.flat, curves.items(), strict=False):
        values = [int(value) for value in times]
        panel.plot(values, list(times.values()), 'o-', color='tab:blue')
        if axis != 'experts':
            panel.set_xscale('log', base=2)
        panel.set_xticks(values, [f'{value:,}' for value in values])
        panel.minorticks_off()
        panel.set_ylim(0, 1.08 * max(times.values()))
        panel.set_xlabel(LABELS.get(axis, axis))
    for row in grid:
        row[0].set_ylabel('CPU time of a step (ms)')
    return figure


def training_model(cfg: Config) -> nn.Module:
    """Build a model in training mode, with class counts."""
    model = _model(cfg).train()
    tell(model, 'set_class_counts', range(cfg.model.head.num_classes, 0, -1))
    return model


def one_step(model: nn.Module, cfg: Config, batch: int, size: int) -> Callable[[], None]:
    """Return a training step of ``batch`` random images of ``size`` pixels in two views."""
    views = [_images(batch, size) for _ in range(2)]
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    precision = partial(wrapper.optim_context, model)
    samples = labelled(batch, cfg.model.head.num_classes)
    return partial(train_step, model, wrapper.optimizer, views, samples, precision)


def labelled(batch: int, classes: int) -> list[DataSample]:
    """Return samples whose labels repeat all classes in turn."""
    return [DataSample().set_gt_label(index % classes) for index in range(batch)]


def least_time(step: Callable[[], object], repeats: int) -> float:
    """Return the least processor time of a step in seconds, after a warm-up step."""
    step()
    watch = Stopwatch(torch.device('cpu'))
    return min(watch.measure(step, 1).cpu for _ in range(repeats))


def _prediction(config: str | Path, repeats: int, batch: int = 100) -> dict[str, float]:
    """Return images per second of the ensemble, of one expert and of shared trunks."""
    forms = {
        'ensemble': {},
        'one stage shared': {'model.backbone.shared_stages': 1},
        'two stages shared': {'model.backbone.shared_stages': 2},
        'one expert alone': {'model.backbone.num_experts': 1},
    }
    images, rates = _images(batch, IMAGE), {}
    for name, options in forms.items():
        model = _model(load_config(config, cfg_options=options)).eval()
        for suffix, network in (('', model), (', BatchNorm folded', fuse_conv_bn(deepcopy(model)))):
            with torch.inference_mode():
                rates[name + suffix] = batch / least_time(partial(network, images), repeats)
    return rates


def _model(cfg: Config) -> nn.Module:
    init_default_scope('ecl')
    torch.manual_seed(0)
    return MODELS.build({**cfg.model, 'data_preprocessor': cfg.get('data_preprocessor')})


def _images(number: int, size: int) -> Tensor:
    return torch.randn(number, 3, size, size).contiguous(memory_format=torch.channels_last)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, write."""
    parser = ArgumentParser(
        description='Time a step on this processor as experts, batch, classes, queue and image '
        'grow, and predictions by the ensemble and cheaper forms of it.'
    )
    parser.add_argument('config', help='configuration file, with contrast, of 32-pixel images')
    parser.add_argument('--out', metavar='NAME', required=True, help='NAME.json and NAME.png')
    parser.add_argument('--repeats', type=int, default=3, help='steps of each size; default: 3')
    parser.add_argument(
        '--losses',
        metavar='CONFIG',
        help='also time the losses in a step of this configuration of 224-pixel images',
    )
    arguments = parser.parse_args(argv)
    out = Path(arguments.out)
    check_folder(out)
    result = benchmark_scale(arguments.config, repeats=arguments.repeats)
    if arguments.losses:
        result['losses'] = benchmark_losses(arguments.losses)
    out.with_suffix('.json').write_text(json.dumps(result, indent=2) + '\n')
    draw_scale(result).savefig(out.with_suffix('.png'), dpi=120)


if __name__ == '__main__':
    run_tool(main)
