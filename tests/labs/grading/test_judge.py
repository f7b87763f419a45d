"""One exercise judged: right, a stub, nothing there, fitted to the shown numbers; the same seed, the same verdict."""

from torch.nn.functional import softplus

from safedpo.labs.checking import find
from safedpo.labs.grading.judge import judge


def right(c, r, rc, rr, beta):
    return softplus(-beta * ((c - rc) - (r - rr)))


def stub(c, r, rc, rr, beta):
    raise NotImplementedError


def only(answer, seed=0):
    (verdict,) = judge({"mine": answer}, {"dpo_loss": "mine"}, seed=seed)
    return verdict


def test_right_has_its_point_and_a_stub_and_a_missing_name_have_none():
    assert only(right) == {"exercise": "dpo_loss", "points": 1, "of": 1, "message": "right"}
    assert (only(stub)["points"], only(stub)["message"]) == (0, "not done: still the stub")
    (missing,) = judge({}, {"dpo_loss": "mine"}, seed=0)
    assert missing["points"] == 0 and "'mine' is not defined" in missing["message"]


def test_a_wrong_answer_is_told_what_the_checker_tells():
    verdict = only(lambda c, r, rc, rr, beta: softplus(beta * ((c - rc) - (r - rr))))
    assert verdict["points"] == 0 and verdict["message"] != "right"


def test_an_answer_that_knows_the_shown_numbers_alone_is_caught_by_drawn_ones():
    shown = {tuple(case[0].tolist()): find("dpo_loss").right(*case) for case in find("dpo_loss").cases}

    def fitted(c, r, rc, rr, beta):
        known = tuple(c.tolist()) in shown
        return right(c, r, rc, rr, beta) if known else right(c, r, rc, rr, beta) + 1

    verdict = only(fitted)
    assert verdict["points"] == 0 and "right on the shown numbers, not on others" in verdict["message"]


def test_the_same_seed_gives_the_same_verdict():
    bad = lambda c, r, rc, rr, beta: right(c, r, rc, rr, beta) * (1 + (len(c) == 3))  # noqa: E731
    assert only(bad, seed=5) == only(bad, seed=5)
