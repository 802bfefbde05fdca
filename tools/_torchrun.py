"""torchrun, without its own traceback when a process fails: the process has said why."""

import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

try:
    run(parse_args(sys.argv[1:]))
except ChildFailedError as error:
    _, failure = error.get_first_failure()
    # A process that a signal ended has a negative status.
    sys.exit(failure.exitcode if failure.exitcode > 0 else 1)
