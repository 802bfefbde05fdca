import errno
import os
import stat

import pytest

from ecl.engine.resume.atomic_file import atomic_write


def test_replaces_the_file(tmp_path):
    path = tmp_path / 'record'
    path.write_bytes(b'old')
    with atomic_write(path) as file:
        file.write(b'new')
        assert path.read_bytes() == b'old'
    assert path.read_bytes() == b'new'
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / 'record'
    path.write_bytes(b'old')
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b'half')
        raise RuntimeError
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_and_not_its_temporary(tmp_path):
    (tmp_path / 'folder').mkdir()
    with pytest.raises(IsADirectoryError) as caught, atomic_write(tmp_path / 'folder'):
        pass
    assert caught.value.filename == str(tmp_path / 'folder')
    with pytest.raises(OSError, match='No space') as caught, atomic_write(tmp_path / 'a') as file:
        with open('/dev/full', 'wb', buffering=0) as full:
            full.write(b'a')
        file.write(b'a')
    assert caught.value.filename == str(tmp_path / 'a')


def test_a_file_system_that_cannot_flush_folders_will_do(tmp_path, monkeypatch):
    flush = os.fsync

    def refuse(descriptor, number=errno.EINVAL):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, 'fsync', refuse)
    with atomic_write(tmp_path / 'a') as file:
        file.write(b'whole')
    assert (tmp_path / 'a').read_bytes() == b'whole'
    monkeypatch.setattr(os, 'fsync', lambda descriptor: refuse(descriptor, errno.EIO))
    with pytest.raises(OSError, match='Input/output'), atomic_write(tmp_path / 'a') as file:
        file.write(b'lost')
