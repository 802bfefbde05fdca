"""Time the images of a configuration on one core: python tools/benchmark/loading.py CONFIG"""

import json
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import torch
from mmengine.registry import init_default_scope

from ecl.apis.config import load_config
from ecl.apps.cli import add_cfg_options, run_tool
from ecl.datasets.image_file import decode_image
from ecl.errors import UserError
from ecl.registry import DATASETS


def benchmark_loading(
    config: str | Path, images: int = 200, cfg_options: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Time decoding and the whole pipeline in turn, over the same images.

    Args:
        config: A training configuration.
        images: Images of a turn; a first turn brings the files into memory.
        cfg_options: Values by dotted key that replace those of the file.

    Returns:
        Images per second of one core, medians over five turns: ``decode`` and ``pipeline``; and
        ``megapixels`` of an image.

    Raises:
        UserError: If the images are not files.
    """
    cfg = load_config(config, cfg_options=cfg_options)
    init_default_scope(cfg.default_scope)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    chosen = range(0, len(dataset), max(1, len(dataset) // images))[:images]
    paths = [dataset.get_data_info(index).get('img_path') for index in chosen]
    if None in paths:
        raise UserError(f'{config}: train_dataloader.dataset has no image files to read')
    seconds: dict[str, list[float]] = {'decode': [], 'pipeline': []}
    pixels = 0
    for turn in range(6):
        start = time.process_time()
        pixels = sum(decode_image(Path(path).read_bytes())[..., 0].size for path in paths)
        middle = time.process_time()
        for index in chosen:
            dataset[index]
        if turn:
            seconds['decode'].append(middle - start)
            seconds['pipeline'].append(time.process_time() - middle)
    rates = {name: len(paths) / median(times) for name, times in seconds.items()}
    return {**rates, 'megapixels': pixels / len(paths) / 1e6}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and print the result."""
    parser = ArgumentParser(description='Images per second that one core reads and augments.')
    parser.add_argument('config', help='training configuration')
    parser.add_argument('--images', type=int, default=200, help='images of a turn (default: 200)')
    add_cfg_options(parser)
    print(json.dumps(benchmark_loading(**vars(parser.parse_args(argv))), indent=1))


if __name__ == '__main__':
    run_tool(main)
