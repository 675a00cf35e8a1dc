"""Files that hurt, questions that make no sense, and requests from elsewhere: refused, in words."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from zoo.demo.picture import MOST_BYTES
from zoo.demo.shelf import KEPT

pytestmark = pytest.mark.tensorflow  # of the page, not of the numbers: those are in test_answers


def refused(answer, status, *words):
    """The answer says in three parts what is wrong."""
    assert answer[0] == status, answer
    error = answer[1]["error"]
    for word in (*words, "Expected", "Received"):
        assert word in error


def claiming(width, height):
    """A PNG file of few bytes whose header claims so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(bytes(100)))
    packed = (struct.pack(">I", len(x) - 4) + x + struct.pack(">I", zlib.crc32(x)) for x in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_bombs_are_told_by_their_headers(ask, server):
    """A file of 0.1 MiB would be 10^8 pixels; the header of another claims 2^62."""
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    for bomb in (file.getvalue(), claiming(65_535, 65_535), claiming(2**31 - 1, 2**31 - 1)):
        begun = time.monotonic()
        refused(ask(server, "/api/pictures", bomb), 400, "too large to decode", "33,554,432")
        assert time.monotonic() - begun < 1


def test_too_many_bytes(ask, server):
    refused(ask(server, "/api/pictures", b" " * (MOST_BYTES + 1)), 413, "too large", "16,777,216")


def test_bad_bytes_crash_nothing(ask, server, files):
    good = ask(server, "/api/search?picture=sample-0")
    draw = np.random.default_rng(7)
    whole, seen = files.whole_files(draw), {200: 0, 400: 0}
    for _ in range(120):
        data = whole[draw.integers(len(whole))]
        answer = ask(server, "/api/pictures", files.MUTATIONS[draw.integers(5)](draw, data))
        seen[answer[0]] += 1
        if answer[0] == 400:
            refused(answer, 400)
        else:
            assert ask(server, f"/api/search?picture={answer[1]['picture']}&k=1")[0] == 200
    assert min(seen.values()) > 5
    assert ask(server, "/api/search?picture=sample-0") == good


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"II*\0" * 9])
def test_other_files_are_no_pictures(ask, server, content):
    refused(ask(server, "/api/pictures", content), 400, "that was sent")


def test_a_line_is_no_picture(ask, server, as_png):
    line = as_png(np.zeros((1, 5000, 3)))
    refused(ask(server, "/api/pictures", line), 400, "too long", "1 x 5000")


def test_only_the_last_uploads_are_kept(ask, server, as_png):
    names = [
        ask(server, "/api/pictures", as_png(np.zeros((4, 4, 1))))[1]["picture"]
        for _ in range(KEPT + 1)
    ]
    assert ask(server, f"/api/pictures/{names[1]}")[0] == 200
    refused(ask(server, f"/api/pictures/{names[0]}"), 404, "no such picture", names[0])


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/search", 400, "?picture=NAME"),
        ("/api/search?picture=sample-99", 404, "no such picture"),
        ("/api/search?picture=record-896", 404, "The index has no such picture"),
        ("/api/search?picture=record-1e3", 404, "no such picture"),
        ("/api/search?picture=..%2Fetc%2Fpasswd", 404, "no such picture"),
        ("/api/search?picture=sample-0&k=0", 400, "1 to 50"),
        ("/api/search?picture=sample-0&k=%C2%B2", 400, "1 to 50"),
        ("/api/search?picture=sample-0&k=999999999999", 400, "1 to 50"),
        ("/api/explain?picture=sample-0", 400, "?other=NAME"),
        ("/api/locate?picture=sample-0&scene=sample-77", 404, "no such picture"),
        ("/api/locate?picture=scene-0&scene=sample-0", 400, "larger than the scene"),
    ],
)
def test_questions_that_cannot_be_answered(ask, server, path, status, words):
    refused(ask(server, path), status, words)


def test_a_search_too_fine_is_not_begun(ask, server, as_png):
    dot, wide = (as_png(np.full((n, n, 3), 99)) for n in (1, 1000))
    names = [ask(server, "/api/pictures", x)[1]["picture"] for x in (dot, wide)]
    begun = time.monotonic()
    answer = ask(server, f"/api/locate?picture={names[0]}&scene={names[1]}")
    refused(answer, 400, "too small for this scene", "1 x 1 in 1000 x 1000")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "["},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
    ],
)
def test_other_sites_are_not_let_in(ask, server, headers, as_png):
    refused(ask(server, "/api/about", **headers), 403)
    refused(ask(server, "/api/pictures", as_png(np.zeros((4, 4, 1))), **headers), 403)


def test_a_form_sends_nothing(ask, server, as_png):
    for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
        headers = {"Content-Type": kind}
        answer = ask(server, "/api/pictures", as_png(np.zeros((4, 4, 1))), **headers)
        refused(answer, 403, "A form asks")


def test_the_names_of_this_machine_are_let_in(ask, server):
    for host in ("localhost", f"localhost:{server.port}", "127.0.0.1:80", f"[::1]:{server.port}"):
        assert ask(server, "/api/about", Host=host, Origin=f"http://{host}")[0] == 200
    linked = {"Sec-Fetch-Site": "cross-site"}
    status, page = ask(server, "/", **linked)
    assert (status, page[:15]) == (200, b"<!doctype html>")


def test_what_is_sent_says_that_nothing_comes_from_elsewhere(server):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/")
    response = connection.getresponse()
    page = response.read().decode()
    connection.close()
    assert response.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert response.headers["access-control-allow-origin"] is None
    assert "//" not in page.replace("<!doctype", "")
