"""Run one cell of a matrix in a process of its own.

``python -m ecl.apps.experiments.matrix.job SPECIFICATION``.

The specification is the JSON text that :class:`~ecl.apps.experiments.matrix.plan.Run` gives.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.config import load_config
from ecl.apis.test import test
from ecl.apis.train import train
from ecl.apps.cli import run_tool
from ecl.apps.experiments.cost import model_cost
from ecl.apps.experiments.matrix.plan import COST
from ecl.engine.hooks.run_record import RECORD
from ecl.engine.resume.atomic_file import atomic_write


def run_job(
    config: str,
    seed: int,
    work_dir: str,
    cfg_options: dict[str, Any],
    variants: dict[str, dict[str, Any]],
) -> None:
    """Train or go on training, then evaluate the variants; what is there already is kept.

    Args:
        config: A configuration file.
        seed: Random seed.
        work_dir: Folder of the results.
        cfg_options: Values by dotted key that replace those of the file.
        variants: File name in the work dir -> further such values, for an evaluation of the
            trained weights whose metrics go to that file.

    Raises:
        UserError: If another process trains in the folder, or from training and testing.
    """
    folder = Path(work_dir)
    if not (folder / RECORD).is_file():
        train(config, work_dir=work_dir, resume='auto', seed=seed, cfg_options=cfg_options)
    for name, options in variants.items():
        if not (folder / name).is_file():
            test(
                config,
                latest_checkpoint(work_dir) or folder / 'last_checkpoint',
                work_dir=work_dir,
                out=folder / name,
                cfg_options={**cfg_options, **options},
            )
    cost = model_cost(load_config(config, seed=seed, cfg_options=cfg_options))
    with atomic_write(folder / COST) as file:
        file.write(json.dumps(cost).encode())


if __name__ == '__main__':
    run_tool(lambda: run_job(**json.loads(sys.argv[1])))
