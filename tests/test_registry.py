import pytest

from ecl.datasets import Digits
from ecl.registry import build_part, type_name


@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        ('Digits', 'Digits'),
        ('ecl.Digits', 'Digits'),
        (Digits, 'Digits'),
        (build_part, 'build_part'),
        (None, ''),
    ],
)
def test_a_type_is_a_name_a_path_a_class_or_a_function(kind, name):
    assert type_name(dict(type=kind)) == name


def test_a_config_may_name_no_type():
    assert type_name({}) == ''
