import multiprocessing
import os
import signal
import time

import pytest

from ecl.apis.lock import alone_in
from ecl.errors import UserError


def _stay(folder, entered):
    with alone_in(folder):
        if os.fork() == 0:  # a data-loading worker, which outlives its parent for a while
            time.sleep(30)
            os._exit(0)
        entered.set()
        time.sleep(60)


def test_a_second_process_is_told_who_is_in_there(tmp_path):
    context = multiprocessing.get_context('fork')
    entered = context.Event()
    first = context.Process(target=_stay, args=(tmp_path / 'run', entered))
    first.start()
    assert entered.wait(60)
    message = rf'training in .*run: process {first.pid} on .*; wait for it, end it, or choose'
    with pytest.raises(UserError, match=message), alone_in(tmp_path / 'run'):
        pass
    with alone_in(tmp_path / 'other'):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    with alone_in(tmp_path / 'run'):
        pass
