"""Tables of photographs: quotes, byte order marks, heads, other separators, and what is wrong."""

import pytest

from zoo.datasets.reading.tables import USUAL, Columns, rows


def read(folder, text, name="list.csv", columns=USUAL, encoding="utf-8"):
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return list(rows(file, columns))


def test_quotes_byte_order_mark_and_windows_lines(tmp_path):
    text = 'path,label\r\n"a, b.png","with ""quotes"""\r\n\r\nc.png,two\nlines.png,"three\nfour"\n'
    found = read(tmp_path, text, encoding="utf-8-sig")
    assert [row.path for row in found] == ["a, b.png", "c.png", "lines.png"]
    assert [row.label for row in found] == ['with "quotes"', "two", "three\nfour"]


def test_columns_by_name_in_any_order(tmp_path):
    text = "sku\tshot\tgroup_id\tpart\n7\tx.png\tg\tval\n"
    columns = Columns("shot", "sku", "part", "group_id")
    (row,) = read(tmp_path, text, "list.tsv", columns)
    assert (row.number, row.path, row.label, row.split, row.group) == (2, "x.png", "7", "val", "g")


def test_usual_names_are_found_and_semicolons_are_seen(tmp_path):
    (row,) = read(tmp_path, "id;Filename;Class\n1;x.png;cat\n")
    assert (row.path, row.label) == ("x.png", "cat")


def test_two_columns_need_no_head(tmp_path):
    found = read(tmp_path, "x.png\tcat\ny.png\tdog\n", "list.tsv")
    assert [(row.path, row.label) for row in found] == [("x.png", "cat"), ("y.png", "dog")]


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("path,label\nx.png\n", Columns(), "Line 2 .* too short"),
        ("path,kind,other\nx.png,cat,1\n", Columns(), "no column 'label'.*--label-column.*kind"),
        ("path,label\nx.png,cat\n", Columns(group="order"), "no column 'order'.*--group-column"),
        ('path,label\n"x.png,cat\n', Columns(), "cannot be read as a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, columns, words):
    with pytest.raises(ValueError, match=f"(?s){words}.*Received"):
        read(tmp_path, text, columns=columns)


def test_other_bytes_are_no_table(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,cat\n")
    with pytest.raises(ValueError, match="not a table.*UTF-8"):
        list(rows(tmp_path / "list.csv"))
