"""Pascal VOC annotations: boxes as pixels, and no tricks of XML."""

import numpy as np
import pytest

from zoo.datasets.reading import voc


def thing(name, *corners):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def page(*things, size="<size><width>40</width><height>30</height></size>"):
    return f"<annotation>{size}{''.join(things)}</annotation>".encode()


def test_boxes_count_from_nothing_and_leave_the_last_out():
    found = voc.parse(page(thing("cat", 1, 1, 40, 30), thing("dog", 11, 5, 20.4, 25)), "one.xml")
    assert (found.height, found.width, found.names) == (30, 40, ("cat", "dog"))
    np.testing.assert_array_equal(found.boxes, [[0, 0, 40, 30], [10, 4, 20, 25]])
    assert found.boxes.dtype == np.int64


def test_boxes_are_cut_at_the_border_and_empty_ones_dropped():
    things = [thing("cut", 0, -3, 50, 99), thing("line", 9, 3, 9, 20), thing("out", 60, 1, 70, 9)]
    found = voc.parse(page(*things), "one.xml")
    assert found.names == ("cut",)
    np.testing.assert_array_equal(found.boxes, [[0, 0, 40, 30]])
    assert voc.parse(page(), "none.xml").boxes.shape == (0, 4)


BOMB = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>'
FETCH = b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "a document type or entities"),
        (FETCH, "a document type or entities"),
        (BOMB.decode().encode("utf-16"), "codec can't decode"),
        (b"<annotation>" + b" " * 2**20 + b"</annotation>", "1,048,601 bytes"),
        (b"<annotation>", "no element found"),
        (b"<html></html>", "the root <html>"),
        (page(size=""), "<size/height> in pixels. Received: None"),
        (page(thing("cat", 1, "left", 5, 5)), "<bndbox/ymin> in pixels. Received: 'left'"),
        (page(thing("cat", 1, "nan", 5, 5)), "Received: 'nan'"),
    ],
)
def test_other_files_are_refused(content, message):
    with pytest.raises(ValueError, match="annotation one.xml") as refusal:
        voc.parse(content, "one.xml")
    assert message in str(refusal.value)
