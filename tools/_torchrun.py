"""torchrun, without its own traceback when a process fails: the process has said why."""

import os
import signal
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

# Sent on to the processes, which save the training; see ecl/engine/stop.py.
os.environ.setdefault('PET_SIGNALS_TO_HANDLE', 'SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1')

try:
    run(parse_args(sys.argv[1:]))
except ChildFailedError as error:
    _, failure = error.get_first_failure()
    # A process that a signal ended has a negative status.
    sys.exit(failure.exitcode if failure.exitcode > 0 else 1)
except SignalException as error:
    sys.exit(130 if error.sigval == signal.SIGINT else 75)
