"""What the page is told, asked as it asks: over HTTP, with nothing but the standard library."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from keras_metric import distances


def get(ask, server, path):
    status, content = ask(server, path)
    assert status == 200, content
    return content


def send(ask, server, content):
    status, answer = ask(server, "/api/pictures", content)
    assert status == 200, answer
    return answer["picture"]


def pixels(data_or_bytes):
    if isinstance(data_or_bytes, str):
        data_or_bytes = base64.b64decode(data_or_bytes.partition("base64,")[2])
    with Image.open(io.BytesIO(data_or_bytes)) as image:
        return np.asarray(image.convert("RGB"))


def test_what_there_is_to_try(ask, server, gallery):
    about = get(ask, server, "/api/about")
    assert about["source"] == "896 pictures that digits-triplet learns from and watches"
    assert (about["input"], about["distance"]) == (
        "8 x 8, grayscale, stretch, bilinear, fill 0, pixels 0..255",
        "euclidean",
    )
    assert re.fullmatch(
        r"with their class taken away, 5% of validation pictures still find one; "
        r"of 896 test pictures of unknown classes \d+% do",
        about["chosen"],
    )
    titles = [sample["title"] for sample in about["samples"]]
    assert titles == ["0", "1", "2", "3", "4", *(f"{n}, unknown" for n in "5678")]
    for sample, (_, picture) in zip(about["samples"], gallery.samples, strict=True):
        found = pixels(get(ask, server, f"/api/pictures/{sample['picture']}"))
        np.testing.assert_array_equal(found, np.broadcast_to(picture.shown, (8, 8, 3)))


def test_the_nearest_are_those_of_the_model(ask, server, gallery, network):
    found = get(ask, server, "/api/search?picture=sample-3&k=6")
    assert (found["verdict"], found["label"]) == ("3", "3")
    near = found["neighbours"]
    told = [one["distance"] for one in near]
    assert told == sorted(told)
    query = gallery.samples[3][1].fed
    shown = [pixels(get(ask, server, f"/api/pictures/{one['picture']}"))[..., :1] for one in near]
    embeddings = network(np.stack([query, *shown]))
    apart = np.asarray(distances.euclidean(embeddings[:1], embeddings[1:]))[0]
    np.testing.assert_allclose(told, apart, atol=1e-4)
    assert [one["within"] for one in near] == [d <= gallery.searcher.threshold for d in told]


def test_the_threshold_keeps_its_promise(gallery, network):
    """Of validation pictures whose class is taken away, 5 % find somebody; most find their own."""
    from zoo.recipe import get as recipe

    split = recipe("digits-triplet").data({"seed": 0}, None)
    watched = split.validation.of_classes(["0", "1", "2", "3", "4"])
    names = [watched.names[label] for label in watched.labels]
    searcher, taken = gallery.searcher, 0
    for name in sorted(set(names)):
        images = watched.images[np.array(names) == name]
        others = {"label": {"0", "1", "2", "3", "4"} - {name}}
        answers = searcher.answers(["x"] * len(images), images, 1, filter=others)
        taken += sum(answer.label is not None for answer in answers)
    assert 0 < taken / len(names) <= 0.06
    right = [x.label for x in searcher.answers(names, watched.images, 2)]
    assert np.mean([label == name for label, name in zip(right, names, strict=True)]) > 0.9


def test_what_is_like_nothing_matches_nothing(ask, server, gallery, as_png, rng):
    name = send(ask, server, as_png(rng.integers(0, 256, (40, 30, 3))))
    found = get(ask, server, f"/api/search?picture={name}&k=3")
    assert found["label"] is None
    assert found["verdict"].startswith("no match: nothing labelled within")
    assert not any(one["within"] for one in found["neighbours"])


def test_a_record_does_not_find_itself(ask, server):
    near = get(ask, server, "/api/search?picture=record-5&k=4")["neighbours"]
    assert len(near) == 4
    assert "record-5" not in [one["picture"] for one in near]


def test_a_picture_is_turned_upright(ask, server, as_png, gallery):
    digit = np.repeat(np.repeat(gallery.samples[4][1].shown, 5, axis=0), 4, axis=1)
    lying = Image.Exif()
    lying[0x0112] = 6  # to be turned by 90 degrees to the right
    upright = send(ask, server, as_png(digit))
    turned = send(ask, server, as_png(np.rot90(digit), exif=lying))
    shown = [pixels(get(ask, server, f"/api/pictures/{name}")) for name in (upright, turned)]
    np.testing.assert_array_equal(*shown)
    answers = [get(ask, server, f"/api/search?picture={name}") for name in (upright, turned)]
    assert answers[0] == answers[1]
    assert answers[0]["label"] == "4"


def test_shares_add_up_to_the_similarity(ask, server):
    near = get(ask, server, "/api/search?picture=sample-2")["neighbours"][0]
    found = get(ask, server, f"/api/explain?picture=sample-2&other={near['picture']}")
    # of vectors of unit length, as this network gives them
    assert found["similarity"] == pytest.approx(1 - near["distance"] ** 2 / 2, abs=1e-3)
    assert found["sum"] == pytest.approx(found["similarity"], abs=0.05)
    first, second = map(pixels, found["maps"])
    assert first.shape == second.shape == (256, 256, 3)
    assert np.ptp(first.astype(int), axis=-1).max() > 100, "coloured"


def test_what_was_cut_out_of_a_scene_is_found_there(ask, server, as_png, gallery):
    cut = gallery.scenes[0][1].shown[16:24, 28:36]
    name = send(ask, server, as_png(cut))
    found = get(ask, server, f"/api/locate?picture={name}&scene=scene-0&top=3")
    best = found["boxes"][0]
    height, width = gallery.scenes[0][1].shown.shape[:2]
    np.testing.assert_allclose(best["box"], [28 / width, 16 / height, 36 / width, 24 / height])
    assert len(found["boxes"]) == 3
    assert found["least"] < best["score"] <= found["most"] <= 1 + 1e-6
    heat = pixels(found["heat"])
    assert heat.shape == (height, width, 3)
    assert np.ptp(heat.astype(int), axis=-1).max() > 100, "coloured"
    again = get(ask, server, f"/api/locate?picture={name}&scene=scene-0&top=3")
    assert again == found


def test_pixels_are_joined_alike_in_scene_and_picture(ask, server, as_png, gallery):
    """A scene of more than 1,024 pixels is halved, and so is what was cut out of it."""
    scene = gallery.scenes[0][1].shown.repeat(16, axis=0).repeat(16, axis=1)
    height, width = scene.shape[:2]
    assert width > 1024 > width / 2
    exemplar = scene[16 * 16 : 16 * 24, 28 * 16 : 36 * 16]
    names = [send(ask, server, as_png(x)) for x in (exemplar, scene)]
    found = get(ask, server, f"/api/locate?picture={names[0]}&scene={names[1]}&top=1")
    wanted = np.array([28 * 16 / width, 16 * 16 / height, 36 * 16 / width, 24 * 16 / height])
    np.testing.assert_allclose(found["boxes"][0]["box"], wanted, atol=0.02)
    assert found["boxes"][0]["scale"] == 1
