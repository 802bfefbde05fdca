import errno
import logging
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser

import pytest
import torch

import ecl
from ecl.apps import cli
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


def test_an_error_beside_other_processes_ends_before_threads_can_abort():
    code = """
import atexit, os
from torch import distributed
from ecl.apps.cli import run_tool
from ecl.errors import UserError

def fail():
    distributed.init_process_group('gloo', store=distributed.HashStore(), rank=0, world_size=1)
    print('a line')
    raise UserError('another process is lost')

atexit.register(os.abort)  # as the threads of a process group may do
run_tool(fail)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == 'a line\n'
    assert done.stderr == 'error: another process is lost\n'


def test_a_full_disk_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(lambda: _raise(OSError(errno.ENOSPC, 'No space left on device', 'a/results.json')))
    assert caught.value.code == 2
    assert capsys.readouterr().err == 'error: no space left on the disk: a/results.json\n'
    with pytest.raises(FileNotFoundError):
        run_tool(lambda: _raise(FileNotFoundError(errno.ENOENT, 'No such file', 'b')))


def test_a_folder_that_refuses_and_memory_that_runs_out_are_one_line(capsys, tmp_path):
    (tmp_path / 'file').touch()
    for fault, line in (
        (lambda: (tmp_path / 'file').mkdir(), f'the file already exists: {tmp_path / "file"}'),
        (lambda: tmp_path.read_text(), f'found a folder, expected a file: {tmp_path}'),
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


def test_a_reader_that_ends_early_is_silent_and_status_141():
    code = "from ecl.apps.cli import run_tool; run_tool(lambda: print('a line\\n' * 100_000))"
    process = subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'a line\n'
    process.stdout.close()
    assert process.stderr.read() == ''
    assert process.wait() == 141


def test_output_that_the_terminal_cannot_show_is_escaped():
    code = "from ecl.apps.cli import run_tool; run_tool(lambda: print('Uhu é, 雀'))"
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONIOENCODING': 'cp1252'},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode('cp1252').strip() == 'Uhu é, \\u96c0'


def test_a_broken_pipe_of_another_kind_keeps_its_traceback():
    with pytest.raises(BrokenPipeError):
        run_tool(lambda: _raise(BrokenPipeError('a worker has ended')))


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


@pytest.fixture
def ecl_command(monkeypatch, capsys):
    """Run the command ``ecl``; gives exit status, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, 'argv', ['ecl', *words])
        status = 0
        try:
            cli.main()
        except SystemExit as error:
            status = error.code or 0
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize('words', [(), ('--help',), ('-h',)])
def test_help_names_every_command_and_fits_a_screen(ecl_command, words):
    status, out, _ = ecl_command(*words)
    lines = out.splitlines()
    assert status == 0
    assert {line.split()[0] for line in lines if line.startswith('  ')} >= cli.COMMANDS.keys()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_command_has_help_under_its_name(ecl_command, name):
    status, out, _ = ecl_command(name, '--help')
    assert status == 0
    assert f'usage: ecl {name}' in out


def test_arguments_reach_the_command(ecl_command, monkeypatch):
    calls = []
    monkeypatch.setattr('ecl.apis.train', lambda **arguments: calls.append(arguments))
    assert ecl_command('train', 'a', '--seed', '3')[0] == 0
    assert (calls[0]['config'], calls[0]['seed']) == ('a', 3)


def test_list_shows_names_and_results(ecl_command):
    _, out, _ = ecl_command('list', '*r14_cifar20-lt')
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in out.splitlines()]
    (row,) = [row for row in rows if row[0] == 'cross_entropy_r14_cifar20-lt']
    assert 0 < float(row[2]) < 100


def test_list_finds_a_part_of_a_name_and_says_if_there_is_none(ecl_command):
    status, out, _ = ecl_command('list', 'digits')
    assert (status, 'ecl_r8_digits-lt' in out) == (0, True)
    status, _, err = ecl_command('list', 'none?')
    assert (status, err) == (2, "error: no configuration matches 'none?'; all names: ecl list\n")


@pytest.mark.skipif(shutil.which('bash') is None, reason='there is no bash')
@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['tr'], ['train']),
        (['train', 'ecl_r8_dig'], ['ecl_r8_digits-lt']),
        (['predict', 'a.p'], ['a.pth']),
        (['train', 'a.p'], ['a.pth']),
    ],
)
@pytest.mark.parametrize('shell', ['bash', 'zsh'])
def test_a_shell_completes_commands_configurations_and_files(
    ecl_command, tmp_path, words, expected, shell
):
    if shutil.which(shell) is None:
        pytest.skip(f'needs {shell}')
    (tmp_path / 'a.pth').touch()
    _, script, _ = ecl_command('completion', shell)
    if shell == 'zsh':
        script += 'emulate sh\n'  # as zsh calls the functions of bash
    call = f'COMP_WORDS=(ecl {" ".join(words)}); COMP_CWORD={len(words)}; _ecl ecl {words[-1]}'
    result = subprocess.run(
        [shell, '-c', f'{script}\n{call}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = result.stdout.split()
    if shell == 'zsh':  # its own completion leaves out what does not fit
        found = [word for word in found if word.startswith(words[-1])]
    assert found == expected


def test_a_misspelt_command_is_told_with_the_nearest(ecl_command):
    status, _, err = ecl_command('tran')
    assert (status, err) == (2, "error: there is no command 'tran'; did you mean 'train'?\n")


def test_the_version(ecl_command):
    assert ecl_command('--version')[:2] == (0, f'{ecl.__version__}\n')


@pytest.mark.parametrize(('package', 'extra'), cli.EXTRAS.items())
def test_a_missing_optional_package_is_told_with_its_extra(capsys, package, extra):
    def main():
        raise ModuleNotFoundError(f'No module named {package!r}', name=package)

    with pytest.raises(SystemExit) as caught:
        run_tool(main)
    assert caught.value.code == 2
    assert f'{package} is not installed' in (err := capsys.readouterr().err)
    assert f'[{extra}]' in err


def test_a_missing_package_of_another_kind_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError):
        run_tool(lambda: __import__('a_package_that_does_not_exist'))
