from matplotlib import font_manager

from ecl.visualization import font_families


def test_only_installed_families_are_named(monkeypatch):
    monkeypatch.setattr(font_manager, 'get_font_names', lambda: ['SimHei', 'Arial'])
    assert font_families() == ['DejaVu Sans', 'SimHei']
