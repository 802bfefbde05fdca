"""A trained model as a file that needs neither this package nor its configuration."""

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmpretrain.models import BaseClassifier
from torch import Tensor, nn

from ecl.apis.model import image_size, load_model
from ecl.engine.resume.atomic_file import atomic_write
from ecl.errors import UserError
from ecl.models import ECLHead, MultiExpertBackbone

#: Largest difference of a probability from PyTorch's that passes.
TOLERANCE = 1e-4


class Exportable(nn.Module):
    """Images to probabilities.

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
        # The classifier's own preprocessor packs data samples and checks types: not for tracing.
        preprocessor = model.data_preprocessor
        self.register_buffer('mean', preprocessor.mean.clone() if preprocess else None)
        self.register_buffer('std', preprocessor.std.clone() if preprocess else None)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to probabilities (N, C).

        With preprocessing, the images are uint8 in RGB; without, what the network takes.
        """
        if self.preprocess:
            images = (images.float() - self.mean) / self.std
        return self.model(images).softmax(dim=1)


def export(
    checkpoint: str | Path,
    out: str | Path,
    file_format: str = 'onnx',
    what: str = 'ensemble',
    preprocess: bool = False,
) -> float:
    """Export a model, and compare what the file says with what PyTorch says.

    The number of images in a batch stays open; their size is that of the test pipeline. The file
    carries the class names: ONNX under the metadata key ``classes``, PyTorch as the extra file
    ``classes.json``, both as a JSON list.

    Args:
        checkpoint: A file that a training or ``tools/publish.py`` wrote.
        out: The file to write.
        file_format: 'onnx', or 'torch' for a program of ``torch.export`` (``.pt2``).
        what: 'ensemble', or 'expert0' and so on for one expert alone, without the others' weights.
        preprocess: Take images as uint8 in RGB and normalise them in the file. Resizing is left to
            the caller.

    Returns:
        The largest difference of a probability, over batches of 1, 2 and 5 random images.

    Raises:
        UserError: If an argument or the checkpoint cannot be used, or a package is missing.
    """
    writers: dict[str, Callable] = {'onnx': _write_onnx, 'torch': _write_torch}
    if file_format not in writers:
        raise UserError(f'--format must be onnx or torch, not {file_format!r}')
    if not Path(out).parent.is_dir():
        raise UserError(f'cannot write {out}: folder {Path(out).parent} does not exist')
    model = load_model(checkpoint, 'cpu')
    classes = [
        str(name) for name in model._dataset_meta['classes'] or range(model.head.num_classes)
    ]
    size = image_size(model._config.test_dataloader.dataset.pipeline, (500, 600))
    if what != 'ensemble':
        keep_expert(model, what)
    if preprocess:
        _check_preprocessor(model, str(checkpoint))
    network = Exportable(model, preprocess).eval()
    content, run = writers[file_format](network, _images(2, size, preprocess), classes)
    difference = 0.0
    for number in (1, 2, 5):
        images = _images(number, size, preprocess)
        with torch.no_grad():
            difference = max(difference, float((run(images) - network(images)).abs().max()))
    if difference > TOLERANCE:
        raise RuntimeError(f'the exported model differs from PyTorch by {difference:.1e}')
    with atomic_write(out) as file:
        file.write(content)
    return difference


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
    backbone.experts = backbone.experts[index : index + 1]
    head.label_classifiers = head.label_classifiers[index : index + 1]
    if head.distill_classifiers is not None:
        head.distill_classifiers = head.distill_classifiers[index : index + 1]
    backbone.num_experts = head.num_experts = 1
    head.expert = None


def _check_preprocessor(model: BaseClassifier, source: str) -> None:
    """Normalisation is all that a file can hold of a preprocessor."""
    if not getattr(model.data_preprocessor, '_enable_normalize', False):
        raise UserError(f'{source}: its preprocessor has no mean and std; export without it')


def _images(number: int, size: tuple[int, int], preprocess: bool) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    if preprocess:
        return torch.randint(0, 256, (number, 3, *size), generator=generator, dtype=torch.uint8)
    return torch.randn((number, 3, *size), generator=generator)


def _program(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    batch = {0: torch.export.Dim('batch', min=1)}
    return torch.export.export(network, (images,), dynamic_shapes={'images': batch})


def _write_torch(
    network: nn.Module, images: Tensor, classes: list[str]
) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    buffer = io.BytesIO()
    names = {'classes.json': json.dumps(classes)}
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'No complete tensor')  # of weights in part of a storage
        torch.export.save(_program(network, images), buffer, extra_files=names)
    content = buffer.getvalue()
    return content, torch.export.load(io.BytesIO(content)).module()


def _write_onnx(
    network: nn.Module, images: Tensor, classes: list[str]
) -> tuple[bytes, Callable[[Tensor], Tensor]]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  used by PyTorch's exporter
    except ImportError as error:
        raise UserError(
            f"--format onnx needs the package {error.name}: pip install -e '.[export]'"
        ) from error
    program: Any = torch.onnx.export(
        _program(network, images),
        input_names=['images'],
        output_names=['scores'],
        dynamo=True,
        verbose=False,
    )
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {'classes': json.dumps(classes)})
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {'images': images.numpy()})[0])

    return content, run
