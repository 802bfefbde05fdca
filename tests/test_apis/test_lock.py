import multiprocessing
import os
import signal
import time

import pytest

from ecl.apis.lock import alone_in
from ecl.errors import UserError


def _stay(folder, entered):
    with alone_in(folder):
        entered.set()
        time.sleep(60)


def test_a_second_process_is_told_who_is_in_there(tmp_path):
    context = multiprocessing.get_context('fork')
    entered = context.Event()
    first = context.Process(target=_stay, args=(tmp_path / 'run', entered))
    first.start()
    assert entered.wait(60)
    message = rf'training in .*run: process {first.pid} on '
    with pytest.raises(UserError, match=message), alone_in(tmp_path / 'run'):
        pass
    with alone_in(tmp_path / 'other'):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    with alone_in(tmp_path / 'run'):
        pass


def test_the_lock_ends_with_the_block_even_if_a_child_lives_on(tmp_path):
    with alone_in(tmp_path):
        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with alone_in(tmp_path):
            pass
    finally:
        child.kill()
        child.join()
