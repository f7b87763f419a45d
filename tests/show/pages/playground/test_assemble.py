"""The page as a file: one script, one style, nothing from elsewhere, every word in both languages."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from safedpo.errors import UserError
from safedpo.show.pages.playground import assemble, playground_page

ROOM = files("safedpo.show.pages.playground")


class Elements(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.found, self.text = [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.lasttag in ("script", "style"):
            self.text[self.lasttag] = self.text.get(self.lasttag, "") + data


def test_it_is_one_small_file_that_loads_nothing():
    page = playground_page()
    assert len(page.encode()) < 300_000
    elements = Elements(page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == tags.count("style") == 1 and not {"link", "img", "iframe", "object"} & set(tags)
    assert not any({"src", "href", "srcset", "action", "style"} & attrs.keys() for _, attrs in elements.found)
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)
    assert "url(" not in elements.text["style"] and "@import" not in elements.text["style"]


def test_the_policy_names_the_script_and_the_style_that_stand_there():
    page = playground_page()
    elements = Elements(page)
    policy = next(a["content"] for t, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    for tag in ("script", "style"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_link_home_is_there_when_asked_for_and_is_an_attribute():
    assert 'href="index.html"' in playground_page(home="index.html")
    assert ("a", {"href": '"><b>', "data-say": "home"}) in Elements(playground_page(home='"><b>')).found


def test_every_word_is_used_and_every_used_word_exists():
    halves = [(ROOM / "view" / f"{name}.js").read_text("utf-8") for name in ("english", "german")]
    keys, texts = [], []
    for half in halves:
        found = re.findall(r'^  "?([\w.]+)"?: "(.*)",$', half, re.MULTILINE)
        assert len(found) == len(dict(found))
        keys.append([key for key, _ in found])
        texts.append(dict(found))
    assert keys[0] == keys[1]
    for key in keys[0]:
        places = [sorted(set(re.findall(r"\{(\w+)\}", half[key]))) for half in texts]
        assert places[0] == places[1], key
    page, script = (ROOM / "page.html").read_text("utf-8"), assemble.bundled("view/main.js")
    used = set(re.findall(r'data-(?:say|label)="(\w+)"', page)) | {"home"}
    for half in halves:
        script = script.replace(half.split("export const", 1)[1].strip(), "")
    script += " referenceLabel rewardLabel "  # asked for as `${name}Label`
    for key in keys[0]:  # "rule.helpful" is asked for as `rule.${value}`
        assert key in used or re.search(rf"\b{key.split('.')[-1]}\b", script), key
    assert used <= set(keys[0])


def test_modules_stay_small_and_import_only_what_exists():
    for path in ROOM.rglob("*.js"):
        assert len(path.read_text("utf-8").splitlines()) <= 250, path.name
    script = assemble.bundled("view/main.js")
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    assert "innerHTML" not in script and "eval(" not in script and "insertAdjacentHTML" not in script


def test_a_missing_name_and_a_clash_are_refused(monkeypatch):
    texts = {"a/x.js": 'import { y } from "./y.js";\nconst z = 1;\n', "a/y.js": "export const y = 1;\n"}
    monkeypatch.setattr(assemble, "_text", texts.__getitem__)
    assert assemble.bundled("a/x.js").count("const") == 2
    texts["a/y.js"] = "const y = 1;\n"
    with pytest.raises(UserError, match="imports y from a/y.js"):
        assemble.bundled("a/x.js")
    texts["a/y.js"] = "export const y = 1;\nconst z = 2;\n"
    with pytest.raises(UserError, match="z stands in a/y.js and in a/x.js"):
        assemble.bundled("a/x.js")


@pytest.mark.skipif(not shutil.which("node"), reason="no node: the browser tests run the same modules")
def test_the_stories_are_the_lessons_world_and_numbers_a_seed_gives():
    """The modules as they are, outside a page: the six answers are `safedpo.finite.six_answers`."""
    from safedpo.finite import six_answers

    program = (
        f"const m = await import({json.dumps((ROOM / 'state' / 'presets.js').as_uri())});"
        "console.log(JSON.stringify(m.presetState(0, 'en').answers));"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program], capture_output=True, text=True, check=True, timeout=60
    )
    answers, world = json.loads(done.stdout), six_answers()
    assert tuple(one["text"] for one in answers) == world.labels
    assert [one["reference"] for one in answers] == pytest.approx(world.ref_logps[0].exp().tolist())
    assert [one["reward"] for one in answers] == world.reward[0].tolist()
    assert [one["unsafe"] for one in answers] == world.unsafe[0].tolist()
