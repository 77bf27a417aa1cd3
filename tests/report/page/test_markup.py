"""Text becomes markup by being escaped, and in no other way."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.page.markup import Markup, element, fragment, text


class Seen(HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.tags, self.data = [], ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.data += data


def test_element_has_children_and_attributes():
    made = element(
        "p", "a < b", None, [element("b", "c"), "d"], class_="x", stroke_width=1.5, id=None
    )
    assert made == '<p class="x" stroke-width="1.5">a &lt; b<b>c</b>d</p>'
    assert element("br") == "<br>"
    assert isinstance(fragment(["x"]), Markup)


@given(st.text(), st.text())
def test_no_text_makes_an_element_or_leaves_its_attribute(child, value):
    seen = Seen(element("p", child, title=value))
    assert [tag for tag, _ in seen.tags] == ["p"]
    assert set(seen.tags[0][1]) == {"title"}


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Cn"))))
def test_readers_get_back_the_text(child):
    assert Seen(element("p", child)).data == child


def test_characters_that_nobody_would_see_are_shown():
    hidden = "a\x00b\u202ec\ud800d\x85"
    assert text(hidden) == "a\\u0000b\\u202ec\\ud800d\\u0085"
    text(hidden).encode()
    assert text("line\nnext\ttab") == "line\nnext\ttab"
