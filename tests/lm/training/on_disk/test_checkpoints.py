from safedpo.lm.training.on_disk.checkpoints import UNFINISHED, checkpoints, clear, is_whole, last_good, publish, seal


def checkpoint(run, step, text="weights"):
    folder = run / UNFINISHED / f"checkpoint-{step}"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text(text)
    (folder / "deep" / "b").write_text("state")
    publish(folder, run / f"checkpoint-{step}")
    return run / f"checkpoint-{step}"


def test_the_newest_whole_checkpoint_counts(tmp_path):
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "a").write_text("weighty")
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-200").mkdir()
    assert last_good(tmp_path) == tmp_path / "checkpoint-10"
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint-{n}" for n in (200, 100, 10, 9)]


def test_damage_is_noticed(tmp_path):
    good = checkpoint(tmp_path, 1)
    assert is_whole(good)
    for damage in (
        lambda f: (f / "a").unlink(),
        lambda f: (f / "deep" / "b").write_text("stat"),
        lambda f: (f / "manifest.json").write_text("{"),
        lambda f: (f / "manifest.json").unlink(),
        lambda f: (f / "a").write_text("weightS"),
    ):
        folder = checkpoint(tmp_path, 2)
        damage(folder)
        assert not is_whole(folder)
    assert last_good(tmp_path) == good


def test_what_is_not_renamed_does_not_count(tmp_path):
    folder = tmp_path / UNFINISHED / "checkpoint-5"
    folder.mkdir(parents=True)
    seal(folder)
    assert last_good(tmp_path) is None


def test_clear_keeps_the_newest(tmp_path):
    for step in (2, 4, 6):
        checkpoint(tmp_path, step)
    clear(tmp_path, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-6", "checkpoint-4"]
    assert not (tmp_path / UNFINISHED).exists()
