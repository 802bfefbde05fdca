def test_the_page_lies_in_the_work_dir(load_tool, digits_run, capsys, monkeypatch):
    tool = load_tool('analysis/report')
    tool.main([str(digits_run)])
    page = digits_run / 'report.html'
    assert capsys.readouterr().out.strip() == str(page)
    assert page.read_text().startswith('<!doctype html>')
    page.unlink()
