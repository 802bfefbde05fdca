"""One cell of a matrix, in a process of its own: ``python -m ecl.apis.matrix.job SPECIFICATION``.

The specification is the JSON text that :class:`~ecl.apis.matrix.plan.Run` gives.
"""

import fcntl
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecl.apis.checkpoint import latest_checkpoint
from ecl.apis.cli import run_tool
from ecl.apis.config import load_config
from ecl.apis.cost import model_cost
from ecl.apis.test import test
from ecl.apis.train import train
from ecl.engine.atomic import atomic_write
from ecl.errors import UserError

RECORD = 'results.json'
COST = 'cost.json'


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
        UserError: If another process works in the folder, or from training and testing.
    """
    folder = Path(work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
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


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep out a second process, such as one of a matrix that was killed but not its jobs."""
    with (folder / '.lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f'another process is training in {folder}') from None
        yield


if __name__ == '__main__':
    run_tool(lambda: run_job(**json.loads(sys.argv[1])))
