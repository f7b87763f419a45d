"""The page about a class: hardest first, mistakes counted, what students wrote shown as text."""

from safedpo.labs.grading.class_page import class_page
from safedpo.labs.grading.notebook import Grade


def one(name: str, *incidents: str, **messages: str) -> Grade:
    verdicts = [{"exercise": e, "points": int(m == "right"), "of": 1, "message": m} for e, m in messages.items()]
    return Grade(name, verdicts, {}, list(incidents), 1.0)


CLASS = [
    one("a.ipynb", "cell 3: NotYet: dpo_loss: not yet.", dpo_loss="The sign.", safe_policy="right"),
    one("b.ipynb", "cell 4: NotAllowed: no network", dpo_loss="The sign.", safe_policy="right"),
    one("c.ipynb", dpo_loss="<b>beta</b>", safe_policy="not done: still the stub"),
]


def test_the_hardest_comes_first_and_mistakes_are_counted():
    page = class_page(CLASS)
    assert page.index("dpo_loss") < page.index("safe_policy")
    assert "2 × The sign." in page and "1 × &lt;b&gt;beta&lt;/b&gt;" in page and "<b>beta" not in page
    assert "<td class=n>0 of 3</td>" in page and "<td class=n>2 of 3</td><td class=n>1</td>" in page
    assert "not done: still" not in page and "median 1, from 0 to 1 of 2" in page


def test_notes_are_about_the_notebooks_not_about_checks():
    page = class_page(CLASS)
    assert "b.ipynb: cell 4: NotAllowed: no network" in page and "a.ipynb: cell 3" not in page


def test_an_empty_class():
    assert "No notebooks." in class_page([])
