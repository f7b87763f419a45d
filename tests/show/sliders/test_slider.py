"""The component that is read: what it writes into a page, and what it says without one."""

import pytest

from safedpo.errors import UserError
from safedpo.show import Stops, Switch, live, slider, still
from tests.show.bar import bar


def test_too_many_sliders_or_stops_raise():
    with pytest.raises(UserError, match="one or two sliders.*got 0"):
        slider(bar)
    with pytest.raises(UserError, match="2500 stops"):
        slider(lambda a, b: bar(a), Stops("a", range(50)), Stops("b", range(50)))
    with pytest.raises(UserError, match="at least one slider"):
        live(bar)


def test_switches_are_boxes_and_there_may_be_many():
    names = ["a", "b", "c<"]
    figure = slider(lambda *on: bar(1 + sum(on)), *(Switch(name, start=name == "b") for name in names))
    html = figure.html("f")
    assert html.count('<input type="checkbox"') == 3 and html.count(" checked>") == 1 and "c&lt;" in html
    assert repr(figure) == "The bar is 2 high." and figure.sentence(1, 1, 1) == "The bar is 4 high."
    with pytest.raises(UserError, match="2048 stops"):
        slider(lambda *on: bar(1), *(Switch(str(k)) for k in range(11)))


def test_html_escapes_what_it_is_given_and_keeps_the_library_out_of_the_figure():
    sly = "</script><script>alert(1)</script>"
    figure = slider(lambda h: (bar(h)[0], sly + str(h)), Stops('a"<b>', [1, 2]))
    html = figure.html("f")
    assert sly not in html and html.count("</script>") == 1 and "a&quot;&lt;b&gt;" in html
    assert len(html) < 20_000


def test_the_text_form_is_the_sentence_of_the_starting_stop():
    figure = slider(bar, Stops("h", [1, 2, 3], start=2))
    assert figure._repr_mimebundle_()["text/plain"] == "The bar is 2 high."
    assert still(*bar(3))._repr_mimebundle_()["text/plain"] == "The bar is 3 high."


def test_a_saved_page_is_small_and_names_no_other_address(tmp_path, sliders):
    for name, figure in sliders.items():
        page = figure.save(tmp_path / f"{name}.html").read_text()
        assert len(page) < 6e6
        library = page[page.index('<script data-safedpo="plotly">') :]
        assert "://" not in page.replace(library[: library.index("</script>")], "")


def test_sentences_differ_wherever_the_reader_should_see_a_difference(sliders):
    for figure in sliders.values():
        assert len(set(figure.frames.sentences)) == len(figure.frames.sentences)
