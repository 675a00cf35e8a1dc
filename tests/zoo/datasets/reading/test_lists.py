"""Lists for every command: bare lines, or a table with a head as `keras-metric train` reads it."""

import pytest

from zoo.datasets.reading.lists import read_list


def read(folder, text, name="list.csv", **options):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return [tuple(line) for line in read_list(file, **options)]


def test_a_table_with_other_columns_is_a_list_too(tmp_path):
    text = "id,image,label,price\n7,a.png,cat,3\n8,b.png,,4\n"
    assert read(tmp_path, text) == [(2, "a.png", "cat"), (3, "b.png", None)]
    assert read(tmp_path, "price;file\n3;a.png\n") == [(2, "a.png", None)]


def test_bare_lines_are_a_path_and_perhaps_a_class(tmp_path):
    assert read(tmp_path, "a.png\nb.png\tcat\n", "list.txt") == [
        (1, "a.png", None),
        (2, "b.png", "cat"),
    ]


def test_a_class_may_be_called_as_a_column(tmp_path):
    assert read(tmp_path, "a.png,image\nb.png,file\n") == [
        (1, "a.png", "image"),
        (2, "b.png", "file"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,image\n7,a.png\n", "no column 'label'"),
        ("image,label\na.png,\n", "Line 2 of .*empty cell"),
        ("image,label\n", "lists nothing"),
        ("a,b,c\n", "Line 1 of .*a path, a comma and a class"),
    ],
)
def test_what_lacks_a_class_is_refused_where_classes_are_needed(text, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        read(tmp_path, text, classes=True)
