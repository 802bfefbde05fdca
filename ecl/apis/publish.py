"""Make a checkpoint fit to be handed on."""

import hashlib
import io
from pathlib import Path
from pickle import UnpicklingError

import torch

from ecl.apis.config_text import parse_config
from ecl.apis.model import CONTRAST, load_model
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.resume.atomic_file import atomic_write
from ecl.errors import UserError

#: What a user of the model needs to know of its training.
META = ('epoch', 'iter', 'seed', 'time', 'mmengine_version', 'dataset_meta', 'class_counts')
#: Keys of the configuration that belong to the machine of the training.
PRIVATE = ('work_dir', 'load_from', 'resume', 'launcher')


def publish(checkpoint: str | Path, out: str | Path | None = None) -> Path:
    """Write what predicts: weights, configuration, class names and counts.

    Optimizer, schedules, logs, momentum copy, queue and projection stay behind, and so do the
    paths of the training. The file's name ends in the first eight digits of its SHA-256 sum, by
    which ``torch.hub`` checks a download.

    Args:
        checkpoint: A checkpoint that a training wrote.
        out: Name of the file before the sum, such as ``models/ecl_digits.pth``. By default that of
            the checkpoint, ``work_dirs/a/epoch_60.pth`` becoming ``work_dirs/a/a_epoch_60.pth``.

    Returns:
        The file, such as ``models/ecl_digits-1a2b3c4d.pth``.

    Raises:
        UserError: If the checkpoint, or what would be published of a trusted one, cannot be loaded
            without running code, or no model be built from it alone.
    """
    source = Path(checkpoint)
    target = Path(out) if out else source.with_name(f'{source.resolve().parent.name}_{source.name}')
    if not target.parent.is_dir():
        raise UserError(f'cannot write {target}: folder {target.parent} does not exist')
    content = load_checkpoint(source)
    load_model(source, 'cpu')  # else nobody could use it
    cfg = parse_config(content['meta']['cfg'], str(source))
    for key in PRIVATE:
        cfg.pop(key, None)
    meta = {key: content['meta'][key] for key in META if key in content['meta']}
    weights = {k: v for k, v in content['state_dict'].items() if not k.startswith(CONTRAST)}
    buffer = io.BytesIO()  # in a file, the sum would depend on the file's name
    torch.save({'meta': {**meta, 'cfg': cfg.pretty_text}, 'state_dict': weights}, buffer)
    buffer.seek(0)
    try:  # a trusted checkpoint may hold more than what is safe to hand on
        torch.load(buffer, weights_only=True)
    except UnpicklingError as error:
        raise UserError(f'{source}: its meta holds more than tensors and plain data') from error
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    path = target.with_name(f'{target.stem}-{digest[:8]}.pth')
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())
    return path
