"""The page itself, in a browser without a window: what it says, and what it looks like."""

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow  # of the page, not of the numbers: those are in test_answers

SQUARE = ".neighbours li:first-child img"


@pytest.fixture(scope="module")
def browser(browsers, tmp_path_factory):
    browsers.find()
    opened = browsers.Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


@pytest.fixture
def address(server):
    return f"http://127.0.0.1:{server.port}/"


def text(browser, selector):
    return browser(f"document.querySelector('{selector}').innerText.trim()")


def colourful(pixels):
    """The share of pixels that are no shade of grey."""
    return (np.ptp(pixels.astype(int), axis=-1) > 60).mean()


def test_a_sample_is_looked_up_at_once(browser, address, ask, server):
    assert browser.show(address) == "ready"
    assert text(browser, "#model") == "digits"
    assert text(browser, "#verdict") == "0"
    labels = browser("[...document.querySelectorAll('#neighbours strong')].map(x => x.innerText)")
    apart = browser("[...document.querySelectorAll('.distance')].map(x => Number(x.innerText))")
    wanted = ask(server, "/api/search?picture=sample-0&k=8")[1]["neighbours"]
    assert labels == [one["label"] for one in wanted]
    np.testing.assert_allclose(apart, [one["distance"] for one in wanted], atol=6e-4)
    assert "Cosine similarity" in text(browser, "#why-note")
    shown = browser.pixels(SQUARE)
    assert shown.min() < 30 < 200 < shown.max(), "the picture is there"
    assert colourful(shown) == 0
    assert colourful(browser.pixels("#why-first")) > 0.1, "the overlay is coloured"


def test_a_click_looks_up_and_explains(browser, address):
    browser.show(address)
    assert browser.click("#samples button:nth-child(4)") == "ready"
    assert text(browser, "#verdict") == "3"
    before = browser.pixels("#why-second")
    assert browser.click("#neighbours li:nth-child(5) button") == "ready"
    assert not np.array_equal(browser.pixels("#why-second"), before)
    pressed = "[...document.querySelectorAll('#neighbours button')].map(x => x.ariaPressed)"
    assert browser(pressed).index("true") == 4


def test_a_file_of_noise_matches_nothing(browser, address, tmp_path, as_png, rng):
    (tmp_path / "noise.png").write_bytes(as_png(rng.integers(0, 256, (60, 40, 3))))
    browser.show(address)
    assert browser.choose("#query-file", tmp_path / "noise.png") == "ready"
    assert text(browser, "#verdict").startswith("no match: nothing labelled within")
    assert browser("document.querySelectorAll('.beyond').length") == 8
    assert browser("document.querySelector('#query').naturalHeight") == 60


def test_a_thing_is_found_in_a_scene(browser, address, gallery):
    link = f"{address}?picture=sample-3&scene=scene-0"
    assert browser.show(link) == "ready"
    heat = browser.pixels("#scene")
    assert colourful(heat) > 0.3, "the scores are coloured"
    assert browser("document.querySelectorAll('#boxes span').length") == 5
    assert text(browser, "#places").count("score") == 5
    browser("document.querySelector('#heat').click()")
    plain = browser.pixels("#scene")
    assert colourful(plain) < 0.1 < colourful(heat), "without them only the boxes are"
    best = browser("(({left, width}) => [left, width])(document.querySelector('.best').style)")
    assert all(side.endswith("%") for side in best)


def test_a_scene_may_be_a_file(browser, address, tmp_path, as_png, gallery):
    (tmp_path / "scene.png").write_bytes(as_png(gallery.scenes[0][1].shown[:30]))
    browser.show(address)
    assert browser.choose("#scene-file", tmp_path / "scene.png") == "ready"
    assert browser("document.querySelector('#scene-picture').naturalHeight") == 30


def test_errors_are_shown_in_three_parts(browser, address, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    browser.show(address)
    assert browser.choose("#query-file", tmp_path / "bad.png") == "failed"
    told = browser("[...document.querySelectorAll('#error p')].map(x => x.innerText)")
    assert [part.split()[0] for part in told] == ["The", "Expected:", "Received:"]
    assert browser.click("#samples button:nth-child(2)") == "ready"
    assert browser("document.querySelector('#error').hidden")
    (tmp_path / "large.png").write_bytes(bytes(2**24 + 1))
    assert browser.choose("#query-file", tmp_path / "large.png") == "failed"
    assert "Received: 16,777,217" in text(browser, "#error")


@pytest.mark.parametrize("size", [(1280, 1500), (400, 900)])
def test_the_page_fits_wide_and_narrow(browser, address, size):
    browser.show(f"{address}?picture=sample-1&scene=scene-0", size=size)
    assert browser("document.documentElement.scrollWidth") <= size[0]
    light = browser.pixels()
    browser.show(f"{address}?picture=sample-1&scene=scene-0", size=size, dark=True)
    assert np.median(browser.pixels()) < 60 < 200 < np.median(light)


def test_every_control_is_reached_by_the_keyboard(browser, address):
    browser.show(address)
    reached = set()
    for _ in range(30):
        for kind in ("rawKeyDown", "keyUp"):
            browser.ask("Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9)
        reached.add(browser("document.activeElement.id || document.activeElement.parentElement.id"))
    assert reached >= {"query-file", "samples", "scenes", "scene-file", "heat"}


def test_nothing_is_fetched_from_elsewhere(browser, address):
    browser.show(f"{address}?picture=sample-1&scene=scene-0")
    fetched = browser("performance.getEntriesByType('resource').map(x => x.name)")
    assert len(fetched) > 10
    assert all(one.startswith((address, "data:")) for one in fetched)


def test_without_a_browser_it_is_said(browsers, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("KERAS_METRIC_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="expected one of chromium"):
        browsers.find()
    monkeypatch.setenv("KERAS_METRIC_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="expected one of chromium"):
        browsers.find()
