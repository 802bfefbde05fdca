"""Run torchrun without its own traceback; a failed process has already printed its error."""

import os
import signal
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

# Sent on to the processes, which save the training; see ecl/engine/resume/processes.py.
passed_on = ['SIGTERM', 'SIGINT', 'SIGUSR1']
if hasattr(signal, 'SIGHUP') and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
    passed_on.append('SIGHUP')  # nohup ignores it, here and in the processes
os.environ.setdefault('PET_SIGNALS_TO_HANDLE', ','.join(passed_on))

try:
    run(parse_args(sys.argv[1:]))
except ChildFailedError as error:
    rank, failure = error.get_first_failure()
    if failure.exitcode > 0:
        sys.exit(failure.exitcode)
    # A process that was ended by a signal has a negative status and has printed no error.
    name = signal.Signals(-failure.exitcode).name
    print(f'error: process {rank} was ended by {name}; the others were stopped', file=sys.stderr)
    sys.exit(1)
except SignalException as error:
    sys.exit(130 if error.sigval == signal.SIGINT else 75)
