"""Publish a checkpoint without the training state."""

import hashlib
import io
import json
from pathlib import Path
from pickle import UnpicklingError

import torch
from mmengine.config import Config
from safetensors.torch import save

from ecl.apis.checkpoint import find_checkpoint, parse_config
from ecl.apis.config_check import walk
from ecl.apis.models import CONTRAST, load_model
from ecl.checkpoint_file import load_checkpoint
from ecl.engine.resume.atomic_file import atomic_write, check_folder
from ecl.errors import UserError

#: Facts of the training that a published file keeps.
META = ('epoch', 'iter', 'seed', 'time', 'mmengine_version', 'dataset_meta', 'class_counts')
#: Keys of the configuration that belong to the machine of the training.
PRIVATE = ('work_dir', 'load_from', 'resume', 'launcher')
#: Keys of data sets, networks and prepared configurations that name files of that machine.
PLACES = ('data_root', 'data_prefix', 'ann_file', 'lists', 'classes', 'checkpoint_path')


def publish(checkpoint: str | Path, out: str | Path | None = None, half: bool = False) -> Path:
    """Write weights, configuration, class names and class counts without the training state.

    Optimizer, schedules, logs, momentum encoder, queue, projection and the paths of the training
    are left out. The name of the file ends in the first eight digits of its SHA-256 sum, which
    ``torch.hub`` compares after a download. A ``.safetensors`` file with the same content is
    written to the same folder; its metadata holds the rest under ``meta``, as JSON.

    Args:
        checkpoint: A checkpoint that a training wrote, or its work dir.
        out: Name of the file before the sum, such as ``models/ecl_digits.pth``. Default: the name
            of the checkpoint; ``work_dirs/a/epoch_60.pth`` becomes ``work_dirs/a/a_epoch_60.pth``.
        half: Store the weights in float16, which halves the file.

    Returns:
        The file, such as ``models/ecl_digits-1a2b3c4d.pth``.

    Raises:
        UserError: If the checkpoint cannot be loaded without running code, even if it is trusted,
            or contains too little to build a model.
    """
    source = Path(find_checkpoint(checkpoint))
    target = Path(out) if out else source.with_name(f'{source.resolve().parent.name}_{source.name}')
    check_folder(target)
    content = load_checkpoint(source)
    load_model(source, 'cpu')  # raises an error if the published file cannot be used
    cfg = parse_config(content['meta']['cfg'], str(source))
    _remove_places(cfg)
    meta = {key: content['meta'][key] for key in META if key in content['meta']}
    meta['cfg'] = cfg.pretty_text
    weights = {k: v for k, v in content['state_dict'].items() if not k.startswith(CONTRAST)}
    if half:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    buffer = io.BytesIO()  # in a file, the sum would depend on the file's name
    torch.save({'meta': meta, 'state_dict': weights}, buffer)
    buffer.seek(0)
    try:  # a trusted checkpoint may hold more than a published one should
        torch.load(buffer, weights_only=True)
        plain = json.dumps(meta)
    except (UnpicklingError, TypeError) as error:
        raise UserError(f'{source}: its meta holds more than tensors and plain data') from error
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    path = target.with_name(f'{target.stem}-{digest[:8]}.pth')
    tensors = {key: value.clone().contiguous() for key, value in weights.items()}
    for file_path, written in (
        (path, buffer.getbuffer()),
        (path.with_suffix('.safetensors'), save(tensors, {'meta': plain})),
    ):
        with atomic_write(file_path) as file:
            file.write(written)
    return path


def _remove_places(cfg: Config) -> None:
    """Remove folders and files of the training from its configuration, in place."""
    for key in PRIVATE:
        cfg.pop(key, None)
    for _, node in list(walk(cfg)):
        for key in PLACES:
            if isinstance(node.get(key), str | dict):
                node.pop(key)
        initial = node.get('init_cfg') or {}
        if isinstance(initial, list | tuple):
            node['init_cfg'] = [each for each in initial if not _names_file(each)]
        elif _names_file(initial):
            node.pop('init_cfg')


def _names_file(init_cfg: dict) -> bool:
    """Return whether weights come from a file of this machine. The checkpoint holds them."""
    return '://' not in (init_cfg.get('checkpoint') or '://')
