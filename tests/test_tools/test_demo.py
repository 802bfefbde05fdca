import signal
import subprocess
import sys
import urllib.request
from functools import partial

import pytest

from ecl.errors import UserError


def test_the_page_is_there_until_it_is_interrupted(tools, digits_run, environment):
    command = [sys.executable, '-u', tools / 'demo.py', digits_run / 'epoch_3.pth']
    # A suite that runs in the background passes on that Ctrl-C is to be ignored.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=listen
    ) as process:
        try:
            words = process.stdout.readline().split()
            assert words[0] == 'Open'
            with urllib.request.urlopen(words[1]) as answer:
                assert 'epoch_3.pth' in answer.read().decode()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) in (0, 130)
        finally:
            process.kill()


def test_a_file_that_is_no_checkpoint_is_told(load_tool, tmp_path):
    (tmp_path / 'no.pth').write_text('nothing')
    with pytest.raises(UserError, match=r'no\.pth'):
        load_tool('demo').main([str(tmp_path / 'no.pth')])
