"""Report and demo in a real browser: they work, and no request leaves the machine."""

import shutil
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from ecl.apps.demo import serve
from ecl.apps.report import report
from ecl.datasets import Digits

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium: apt install chromium')
WIDTHS = {'desktop': 1280, 'phone': 390}


@pytest.fixture(scope='module')
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Open an address; returns the page, its errors and the hosts that it asked."""
    contexts = []

    def open_page(address, width=WIDTHS['desktop']):
        contexts.append(browser.new_context(viewport={'width': width, 'height': 900}))
        page = contexts[-1].new_page()
        errors, hosts = [], set()
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on('request', lambda request: hosts.add(urlsplit(request.url).hostname))
        page.goto(address)
        return page, errors, hosts

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize('width', WIDTHS.values(), ids=WIDTHS)
def test_the_report_loads_alone_and_fits(digits_run, tmp_path, visit, width):
    file = report([digits_run], tmp_path / 'report.html')
    page, errors, hosts = visit(file.resolve().as_uri(), width)
    assert not errors
    assert hosts <= {None}  # files and data in the page itself
    assert page.locator('svg').count() > 3
    assert page.evaluate('document.documentElement.scrollWidth') <= width


def test_a_picture_given_to_the_demo_gets_classes(digits_run, tmp_path, visit):
    image = tmp_path / 'digit.png'
    Image.fromarray(Digits(split='test')[3]['img']).save(image)
    served = serve(digits_run / 'epoch_3.pth')
    try:
        page, errors, hosts = visit(served.local_url)
        page.locator('input[type=file]').first.set_input_files(image)
        page.get_by_text('(few, ').first.wait_for(timeout=60_000)
        assert not errors
        assert hosts <= {None, 'localhost', '127.0.0.1'}
    finally:
        served.close()
