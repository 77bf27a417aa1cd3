"""Label files: what could shift every label by one is refused, everything else is read exactly."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spec.label_file import labels_in

ABC = ("a", "b", "c")
names = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=12)


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\nc",
        "a\r\nb\r\nc\r\n\r\n \n",
        "a\rb\rc",
        '["a", "b", "c"]',
        '{"0": "a", "1": "b", "2": "c"}',
        '{"2": "c",\n "0": "a",\n "1": "b"}\n',
        '{"0": ["n01", "a"], "1": ["n02", "b"], "2": ["n03", "c"]}',
        '{"b": 1, "c": 2, "a": 0}',
        '{"model_type": "vit", "id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0}}',
        "{0: 'a',\n 1: 'b',\n 2: \"c\"}",
        " 0: 'a',\n 1: 'b',\n 2: 'c'",
    ],
)
def test_labels_are_read_in_the_order_of_their_index(text):
    assert labels_in(text, str) == ABC


@given(names)
def test_object_by_index_gives_what_the_list_gives(labels):
    order = sorted(range(len(labels)), key=lambda i: labels[i])
    by_index = json.dumps({str(i): labels[i] for i in order})
    assert labels_in(by_index, str) == labels_in(json.dumps(labels), str) == tuple(labels)


def test_only_line_ends_of_editors_end_a_label():
    assert labels_in("a\x0bb\nc\u2028d\ne\x85f", str) == ("a\x0bb", "c\u2028d", "e\x85f")


@pytest.mark.parametrize(
    "text",
    [
        "tench, Tinca tinca\ngoldfish\n",
        "a, b\nc, d\n",
        "0 a\n1 b\n2 c\n",
        "/a/airfield 0\n/a/airplane_cabin 1\n/a/alley 2\n",
        "1 star\n2 stars\n3 stars\n4 stars\n5 stars\n",
        "[PAD]\n[unused0]\nthe\n",
        "???\nperson\n#\n",
    ],
)
def test_labels_may_have_commas_numbers_and_brackets(text):
    assert labels_in(text, str) == tuple(text.splitlines())


@given(names.map(lambda labels: list(dict.fromkeys(f"<{i}>{n!a}" for i, n in enumerate(labels)))))
def test_numbers_beside_labels_are_those_of_their_places_or_refused(labels):
    """As the files of Coral have them: `0  person`, with the gaps of COCO's categories."""
    numbered = [f"{i}  {label}" for i, label in enumerate(labels, start=0)]
    assert labels_in("\n".join(numbered), str) == tuple(numbered)
    for shift in (1, 10):
        others = [f"{i + shift * (i > 0)}  {label}" for i, label in enumerate(labels)]
        if len(labels) >= 3:
            with pytest.raises(ValueError, match=r"numbers its labels, and the one of index 1, "):
                labels_in("\n".join(others), str)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"1": "a", "2": "b"}', "has 2 labels, of which none has the index 0"),
        ('{"0": "a", "2": "b"}', "none has the index 1"),
        ('{"0": "a", "0": "b"}', "has two labels of index 0"),
        ('{"0": "a", "00": "b"}', "with the key '00'"),
        ('{"a": 0, "b": "1"}', "with the key 'a'"),
        ('{"a": 0, "b": 0}', "has two labels of index 0"),
        ('{"a": 1, "b": 2}', "none has the index 0"),
        ("0: 'a'\n1: 'b'\n", "looks like Python or YAML"),
        ("nc: 2\nnames: ['a', 'b']\n", "looks like YAML"),
        ("# COCO\nnames:\n  0: a\n  1: b\n", "looks like YAML"),
        ("# classes of the model\na\nb\n", "a comment, and would be index 0"),
        ("1 a\n2 b\n3 c\n", "numbers its labels, and the one of index 0, on line 1,"),
        ("a 1\nb 2\nc 3\n", "numbers its labels"),
        ("Index\n3\n7\n", "begins with 'Index', which looks like a header"),
        ('{"0": "a", "1": {"name": "b"}}', "must hold one label a line"),
        ('{"id": 0, "name": "a"}\n{"id": 1, "name": "b"}\n', "begins like JSON and is none"),
        ("{a\nb", "begins like JSON and is none"),
        ('item {\n id: 1\n name: "a"\n}\n', "looks like a Protocol Buffers text"),
        ("# classes\nentry: {\n", "looks like a Protocol Buffers text"),
        ("a,b,c\n", "looks like a table whose cells are separated by commas"),
        ("0,a\n1,b\n", "looks like a table"),
        ("name;id\na;0\nb;1\n", "separated by semicolons"),
        ("id\tname\n0\ta\n", "separated by tabs"),
        ("label\na\nb\n", "begins with 'label', which looks like a header"),
        ("", "must hold one label a line"),
        ("a\n\nb\n", "has an empty line, line 2, which would be the label of index 1: remove it"),
        ("\na\nb\n", "has an empty line, line 1,"),
        ("a\nb\n \t\r\nc", "has an empty line, line 3,"),
    ],
)
def test_what_is_no_list_of_labels_is_refused_with_what_it_looks_like(text, says):
    with pytest.raises(ValueError, match=r"^(has|holds|looks|begins|must|numbers)") as error:
        labels_in(text, str)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "labels",
    [
        ("name", "address", "phone"),
        ("# one", "# two"),
        ("0 - 9", "10 - 19", "20 - 29"),
        ("Boeing 737", "Airbus 320", "Cessna 172"),
    ],
)
def test_labels_that_look_like_something_else_are_read_from_a_list(labels):
    with pytest.raises(ValueError, match="as a JSON list, which is taken as it is"):
        labels_in("\n".join(labels), str)
    assert labels_in(json.dumps(labels), str) == labels
