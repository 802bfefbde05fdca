"""One training step of every method, on a device whose values nobody can read.

A meta tensor has a shape and no values. What reads a value, selects by values, or takes numbers
from the host would make a GPU wait, and cannot be captured. The forbidden operations are looked for
in our files alone; MMPretrain's Mixup and CutMix, for example, take labels by a Python list.
"""

import sys
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ecl
from ecl.engine.graph import GraphedStep
from ecl.registry import MODELS, OPTIM_WRAPPERS

ROOT = Path(__file__).parents[2] / 'configs'
PACKAGE = Path(ecl.__file__).parent
DIGITS = sorted(ROOT.glob('*/*_r8_digits-lt.py'))
FAST = ROOT / 'ecl/ecl_r32_cifar100-lt-if100_fast.py'
N = 8

#: Reading a value, selecting by value, and making a tensor of Python numbers.
FORBIDDEN = ('_local_scalar_dense', 'nonzero', 'masked_select', 'unique', 'lift_fresh')
#: Methods whose loss reads values, by MMPretrain's own code: LabelSmoothLoss checks the labels, and
#: SeesawLoss counts the classes of the batch.
MMPRETRAIN_READS = ('label_smoothing', 'seesaw')
#: Operations without work on the device.
FREE = (
    *('view', '_unsafe_view', '_reshape_alias', 'alias', 'as_strided', 'detach', 'expand'),
    *('permute', 'select', 'slice', 'split', 'split_with_sizes', 'squeeze', 't', 'transpose'),
    *('unbind', 'unfold', 'unsqueeze', 'empty', 'empty_like', 'empty_strided', 'new_empty'),
    *('new_empty_strided', '_record_function_enter_new', '_record_function_exit'),
)
INDEXING = ('index', 'index_put', 'index_put_')


def caller():
    """The file and line of the innermost frame outside PyTorch and the tests."""
    frame = sys._getframe(2)
    while frame:
        path = frame.f_code.co_filename
        if '/torch/' not in path and path != __file__:
            return path, frame.f_lineno
        frame = frame.f_back
    return 'autograd', 0


class Recorder(TorchDispatchMode):
    """Records the operations, and those that would make a device wait by file and line."""

    def __init__(self):
        super().__init__()
        self.names = Counter()
        self.waits = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.names[name] += 1
        tensors = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, torch.Tensor)]
        by_mask = name in INDEXING and any(x.dtype == torch.bool for x in tensors[1:])
        devices = {x.device.type for x in tensors}
        if name in FORBIDDEN or by_mask or len(devices) > 1:
            path, line = caller()
            self.waits[f'{name} {path}:{line}'] += 1
        return func(*args, **(kwargs or {}))

    @property
    def work(self):
        return sum(count for name, count in self.names.items() if name not in FREE)

    def ours(self):
        return {wait: n for wait, n in self.waits.items() if str(PACKAGE) in wait}


def build(path):
    """The model on the meta device, its optimizer, and a batch as the data pipeline gives it."""
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    if 'queue_size' in (cfg.model.get('contrast') or {}):
        cfg.model.contrast.queue_size = 64
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    for module in model.modules():
        if callable(getattr(module, 'set_class_counts', None)):
            module.set_class_counts(range(1, model.head.num_classes + 1))
        if callable(getattr(module, 'set_progress', None)):
            module.set_progress(0.5)
    model.to('meta').train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=True)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type='OptimWrapper'), default_args=dict(optimizer=optimizer)
    )
    size = 8 if 'digits' in path.name else 32
    views = [torch.empty(N, 3, size, size, dtype=torch.uint8, device='meta') for _ in range(3)]
    several = model.contrast is not None and not model.data_preprocessor.views
    samples = [
        DataSample().set_gt_label(torch.zeros(1, dtype=torch.long, device='meta')) for _ in range(N)
    ]
    return model, wrapper, dict(inputs=views if several else views[0], data_samples=samples)


def record_step(path):
    model, wrapper, data = build(path)
    model.train_step(data, wrapper)  # builds what is kept for each device
    with Recorder() as recorder:
        model.train_step(data, wrapper)
    return recorder


@pytest.fixture(autouse=True)
def no_mixed_precision(monkeypatch):
    """The meta device has none."""
    monkeypatch.setattr(torch, 'autocast', lambda *args, **kwargs: nullcontext())
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda device: False)


@pytest.mark.parametrize('path', DIGITS, ids=lambda path: path.parent.name)
def test_no_method_waits_for_the_device(path):
    if path.parent.name in MMPRETRAIN_READS:
        with pytest.raises((RuntimeError, NotImplementedError), match=r'item|_unique'):
            record_step(path)
        return
    recorder = record_step(path)
    assert not recorder.ours()
    assert sum(recorder.names.values()) > 100


def held(model):
    """What the modules hold: buffers, and attributes that are tensors or numbers."""
    buffers = {f'{name}()': id(buffer) for name, buffer in model.named_buffers()}
    attributes = {
        f'{name}.{key}': id(value) if isinstance(value, torch.Tensor) else value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, torch.Tensor | int | float)
    }
    return buffers | attributes


@pytest.mark.parametrize('path', [*DIGITS, FAST], ids=lambda path: path.stem)
def test_a_step_changes_state_in_place_alone(path):
    # A graph reads and writes the memory that it was captured with, and runs no Python.
    if path.parent.name in MMPRETRAIN_READS:
        pytest.skip('the loss of MMPretrain reads from the device')
    model, wrapper, data = build(path)
    model.train_step(data, wrapper)
    before = held(model)
    model.train_step(data, wrapper)
    assert held(model) == before


def test_the_fast_path_has_few_operations_and_waits_nowhere():
    recorder = record_step(FAST)
    assert not recorder.waits
    assert recorder.work < 1650


def test_a_captured_step_has_fewer():
    model, wrapper, data = build(FAST)
    wrapper.optimizer.step = lambda: None  # one kernel, that a meta tensor has not
    labels = torch.cat([sample.gt_label for sample in data['data_samples']])
    step = GraphedStep(SimpleNamespace(model=model, optim_wrapper=wrapper, hooks=[]))
    step._inputs = [data['inputs'], labels]
    step._step()
    with Recorder() as recorder:
        step._step()
    assert not recorder.waits
    # Experts and momentum encoder, forward and backward, take about 930 of them.
    assert recorder.work < 1500


@pytest.mark.parametrize(
    'change',
    [
        lambda x: torch.tensor([1.0]),
        lambda x: x[[0, 1]],
        lambda x: x + torch.zeros(4, device='meta'),
        lambda x: x[x > 0],
        lambda x: x.sum().item(),
    ],
)
def test_the_recorder_sees_what_waits(change):
    with Recorder() as recorder, suppress(RuntimeError):
        change(torch.ones(4))
    assert recorder.waits
