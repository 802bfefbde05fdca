"""Export a trained model as ONNX or as a program of PyTorch."""

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from mmpretrain.models import BaseClassifier
from mmpretrain.models.utils import ShiftWindowMSA
from torch import Tensor, nn

from ecl.apis.models import build_pipeline, image_size, load_model
from ecl.engine.resume.atomic_file import atomic_write, check_folder
from ecl.errors import UserError
from ecl.models import ECLHead, MultiExpertBackbone
from ecl.registry import type_name

#: Largest difference of a probability between PyTorch and an exported file that is accepted.
TOLERANCE = 1e-4
#: Transforms that change only the type of an image, not its pixels.
_CONVERSIONS = ('NumpyToPIL', 'PILToNumpy', 'PackInputs')


class Exportable(nn.Module):
    """Classifier from images to probabilities.

    Args:
        model: A trained classifier.
        preprocess: Whether normalisation is part of the module.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: BaseClassifier, preprocess: bool) -> None:
        super().__init__()
        self.model = model
        self.preprocess = preprocess
        # The preprocessor of the classifier packs data samples, which cannot be traced.
        preprocessor = model.data_preprocessor
        self.register_buffer('mean', preprocessor.mean.clone() if preprocess else None)
        self.register_buffer('std', preprocessor.std.clone() if preprocess else None)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to probabilities (N, C).

        With preprocessing, the images are uint8; without, what the network takes.
        """
        if self.preprocess:
            images = (images.float() - self.mean) / self.std
        return self.model(images).softmax(dim=1)


@dataclass(frozen=True)
class Exported:
    """Result of :func:`export`.

    Attributes:
        difference: The largest difference of a probability from PyTorch, over batches of 1, 2 and
            5 random images.
        preprocessing: Preprocessing that the caller applies to an image; see
            :func:`describe_preprocessing`.
    """

    difference: float
    preprocessing: dict[str, Any]


def export(
    checkpoint: str | Path,
    out: str | Path,
    what: str = 'ensemble',
    preprocess: bool = False,
) -> Exported:
    """Export a model, and compare the predictions of the file with those of PyTorch.

    The batch size is dynamic; the image size is that of the test pipeline. The file holds two JSON
    texts: the class names and the result of :func:`describe_preprocessing`. In ONNX they are the
    metadata ``classes`` and ``preprocessing``, in a program of PyTorch the extra files
    ``classes.json`` and ``preprocessing.json``.

    Args:
        checkpoint: As for :func:`~ecl.apis.load_model`.
        out: The file to write: ``.onnx``, or ``.pt2`` for a program of ``torch.export``.
        what: 'ensemble', or 'expert0' and so on for one expert, without the weights of the others.
        preprocess: Take images as uint8 and normalise them in the file. Resizing is left to the
            caller.

    Returns:
        The difference from PyTorch, and the preprocessing of an image.

    Raises:
        UserError: If an argument or the checkpoint cannot be used.
        ModuleNotFoundError: If a package of the extra ``export`` is missing.
        RuntimeError: If a probability differs by more than ``TOLERANCE``.
    """
    writers: dict[str, Callable] = {'.onnx': _write_onnx, '.pt2': _write_torch}
    suffix = Path(out).suffix.lower()
    if suffix not in writers:
        expected = ' or '.join(writers)
        raise UserError(f'--out {out}: got the suffix {suffix!r}, expected {expected}')
    check_folder(out)
    model = load_model(checkpoint, 'cpu')
    size = image_size(model._config.test_dataloader.dataset.pipeline, (500, 600))
    classes = model._dataset_meta['classes'] or range(model.head.num_classes)
    preprocessing = describe_preprocessing(model, size, preprocess)
    notes = {
        'classes': json.dumps([str(name) for name in classes]),
        'preprocessing': json.dumps(preprocessing),
    }
    if what != 'ensemble':
        keep_expert(model, what)
    # A file can contain only the normalisation of a preprocessor.
    if preprocess and not getattr(model.data_preprocessor, '_enable_normalize', False):
        raise UserError(f'{checkpoint}: its preprocessor has no mean and std; export without it')
    network = Exportable(model, preprocess).eval()
    content, run = writers[suffix](network, _images(2, size, preprocess), notes)
    difference = 0.0
    for number in (1, 2, 5):
        images = _images(number, size, preprocess)
        with torch.no_grad():
            difference = max(difference, float((run(images) - network(images)).abs().max()))
    if difference > TOLERANCE:
        raise RuntimeError(f'the exported model differs from PyTorch by {difference:.1e}')
    with atomic_write(out) as file:
        file.write(content)
    return Exported(difference, preprocessing)


def describe_preprocessing(
    model: BaseClassifier, size: tuple[int, int], normalised: bool
) -> dict[str, Any]:
    """Return the preprocessing for a caller of an exported file, as plain data.

    Args:
        model: Result of :func:`~ecl.apis.models.load_model`.
        size: Height and width of the input.
        normalised: Whether the file subtracts the mean and divides by the standard deviation.

    Returns:
        ``size``, ``channels`` ('RGB' or 'BGR') and ``dtype`` of the input; the ``transforms`` that
        bring an image to this size; ``mean`` and ``std`` of the channels, or None without;
        ``normalised_in_file``.
    """
    steps = model._config.test_dataloader.dataset.pipeline
    preprocessor = model.data_preprocessor
    red = np.zeros((500, 600, 3), np.uint8)
    red[..., 2] = 255  # a pipeline takes BGR
    first, _, last = build_pipeline(steps)({'img': red})['inputs'].float().mean(dim=(1, 2))
    swaps = bool(getattr(preprocessor, 'to_rgb', False))
    normalises = getattr(preprocessor, '_enable_normalize', False)
    return {
        'size': list(size),
        'channels': 'RGB' if bool(first > last) != swaps else 'BGR',
        'dtype': 'uint8' if normalised else 'float32',
        'transforms': [
            {**step, 'type': type_name(step)}
            for step in steps
            if type_name(step) not in _CONVERSIONS
        ],
        'mean': preprocessor.mean.flatten().tolist() if normalises else None,
        'std': preprocessor.std.flatten().tolist() if normalises else None,
        'normalised_in_file': normalised,
    }


def preprocessing_lines(preprocessing: dict[str, Any]) -> list[str]:
    """Format the result of :func:`describe_preprocessing` as two lines of text."""
    height, width = preprocessing['size']
    steps = [
        f'{step["type"]}({", ".join(f"{k}={v}" for k, v in step.items() if k != "type")})'
        for step in preprocessing['transforms']
    ]
    if preprocessing['mean'] is not None:
        mean, std = ([round(value, 2) for value in preprocessing[key]] for key in ('mean', 'std'))
        where = 'in the file' if preprocessing['normalised_in_file'] else 'by the caller'
        steps.append(f'(pixel - {mean}) / {std} {where}')
    return [
        f'input: images (N, 3, {height}, {width}), {preprocessing["dtype"]}, '
        f'{preprocessing["channels"]}',
        f'preprocessing: {", ".join(steps) or "none"}',
    ]


def keep_expert(model: BaseClassifier, what: str) -> None:
    """Reduce an ensemble to one expert, in place.

    Args:
        model: A classifier of K experts.
        what: 'expert0' to 'expert<K-1>'.

    Raises:
        UserError: If there is no such expert.
    """
    backbone, head = model.backbone, model.head
    experts = head.num_experts if isinstance(head, ECLHead) else 0
    if not isinstance(backbone, MultiExpertBackbone) or what not in map(
        'expert{}'.format, range(experts)
    ):
        raise UserError(f'--what {what}: there are {experts} experts; ensemble is the whole model')
    index = int(what.removeprefix('expert'))
    backbone.keep(index)
    head.keep(index)


def _images(number: int, size: tuple[int, int], preprocess: bool) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    if preprocess:
        return torch.randint(0, 256, (number, 3, *size), generator=generator, dtype=torch.uint8)
    return torch.randn((number, 3, *size), generator=generator)


def _window_reverse(windows: Tensor, H: int, W: int, window_size: int) -> Tensor:
    """Put windows (-1, s, s, D) back into maps (N, H, W, D)."""
    rows, columns = H // window_size, W // window_size
    maps = windows.view(-1, rows, columns, window_size, window_size, windows.shape[-1])
    return maps.permute(0, 1, 3, 2, 4, 5).reshape(-1, H, W, windows.shape[-1])


def _program(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    batch = {0: torch.export.Dim('batch', min=1)}
    # MMPretrain's divides floats to find the batch size, which would fix it.
    with patch.object(ShiftWindowMSA, 'window_reverse', staticmethod(_window_reverse)):
        return torch.export.export(network, (images,), dynamic_shapes={'images': batch})


def _write_torch(
    network: nn.Module, images: Tensor, notes: dict[str, str]
) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    buffer = io.BytesIO()
    files = {f'{name}.json': text for name, text in notes.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'No complete tensor')  # of weights in part of a storage
        torch.export.save(_program(network, images), buffer, extra_files=files)
    content = buffer.getvalue()
    return content, torch.export.load(io.BytesIO(content)).module()


def _write_onnx(
    network: nn.Module, images: Tensor, notes: dict[str, str]
) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    import onnx  # this and the next two are an extra
    import onnxruntime
    import onnxscript  # noqa: F401  used by PyTorch's exporter

    program: Any = torch.onnx.export(
        _program(network, images),
        input_names=['images'],
        output_names=['scores'],
        dynamo=True,
        verbose=False,
    )
    proto = program.model_proto
    onnx.helper.set_model_props(proto, notes)
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {'images': images.numpy()})[0])

    return content, run
