"""Size and layers of the package: limits that a change must keep."""

from graphlib import TopologicalSorter

import house

SOURCE = '''
"""Module.

More."""

# note
x = """a
b"""


def f():
    """Doc."""
    return x  # y
'''


def test_code_lines_leave_out_docstrings_comments_and_blank_lines():
    assert house.code_lines(SOURCE) == 4


def test_the_library_is_small_beside_its_methods():
    numbers = house.measure()
    assert numbers['non-method : method code of the library'] < 0.75
    assert numbers['lines of the longest file'] <= 400
    assert numbers['median lines of a file'] >= 100


def _dotted(path):
    return '.'.join(path.with_suffix('').parts)


def test_no_module_imports_a_higher_floor():
    upwards = [
        f'{path} imports {name}'
        for path in house.sources('ecl')
        for name in house.imported(path)
        if house.floor_of(house.module_of(name)) > house.floor_of(_dotted(path))
    ]
    assert upwards == []


def test_modules_import_each_other_in_no_circle():
    graph = {}
    for path in house.sources('ecl'):
        module = house.module_of(_dotted(path).removesuffix('.__init__'))
        graph[module] = {house.module_of(name) for name in house.imported(path)} - {module}
    assert len(graph) > 50
    list(TopologicalSorter(graph).static_order())
