import errno
import logging
from argparse import ArgumentParser

import pytest
import torch

from ecl.apps.cli import add_common_arguments, run_tool
from ecl.errors import UserError


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    'message',
    [
        'a.py: nothing reads it',
        'Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call '
        'last):\n  File "x.py", line 1\necl.errors.UserError: a.py: nothing reads it\n',
    ],
)
def test_a_user_error_is_one_line_and_status_2(message, capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(lambda: _raise(UserError(message)))
    assert caught.value.code == 2
    assert capsys.readouterr().err == 'error: a.py: nothing reads it\n'


def test_a_full_disk_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(lambda: _raise(OSError(errno.ENOSPC, 'No space left on device', 'a/results.json')))
    assert caught.value.code == 2
    assert capsys.readouterr().err == 'error: no space left on the disk for a/results.json\n'
    with pytest.raises(FileNotFoundError):
        run_tool(lambda: _raise(FileNotFoundError(errno.ENOENT, 'No such file', 'b')))


def test_a_folder_that_refuses_and_memory_that_runs_out_are_one_line(capsys, tmp_path):
    (tmp_path / 'file').touch()
    for fault, line in (
        (lambda: (tmp_path / 'file').mkdir(), f'a file is there already for {tmp_path / "file"}'),
        (lambda: tmp_path.read_text(), f'a folder is where a file should be for {tmp_path}'),
        (lambda: torch.empty(1 << 55), r'out of memory (144115188075855872 bytes more'),
        (lambda: _raise(MemoryError()), 'out of memory'),
    ):
        with pytest.raises(SystemExit) as caught:
            run_tool(fault)
        assert caught.value.code == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(f'error: {line}')


def test_a_log_file_on_a_full_disk_leaves_no_traceback(capsys):
    def log():
        handler = logging.FileHandler('/dev/full')
        handler.handle(logging.makeLogRecord({'msg': 'a step'}))

    run_tool(log)
    assert capsys.readouterr().err == ''


def test_an_interrupt_is_silent_and_status_130(capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(lambda: _raise(KeyboardInterrupt()))
    assert caught.value.code == 130
    assert capsys.readouterr().err == ''


def test_a_fault_of_the_code_keeps_its_traceback():
    with pytest.raises(ValueError, match='a bug'):
        run_tool(lambda: _raise(ValueError('a bug')))


@pytest.fixture
def parser() -> ArgumentParser:
    parser = ArgumentParser()
    add_common_arguments(parser)
    return parser


def test_options_become_values_by_key(parser):
    words = ['--cfg-options', 'a.b=2', 'c=x=y', '--cfg-options', 'd=[1,(2,z)]', 'e=None']
    options = parser.parse_args(words).cfg_options
    assert options == {'a.b': 2, 'c': 'x=y', 'd': [1, (2, 'z')], 'e': None}


@pytest.mark.parametrize('word', ['a.b', 'a=[1,2'])
def test_an_option_without_a_value_is_a_usage_error(parser, word, capsys):
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(['--cfg-options', word])
    assert caught.value.code == 2
    assert f'{word} is not of the form KEY=VALUE' in capsys.readouterr().err
