"""The doctor's eyes: each problem is made, and must be seen and come with advice."""

import io
import json
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch
from packaging.version import Version
from rich.console import Console

from safedpo.cli import doctor as module
from safedpo.cli.doctor import Check, Report, doctor


def printed(report: Report) -> str:
    console = Console(file=io.StringIO(), width=160)
    report.show(console)
    return console.file.getvalue()


def test_the_report_names_what_a_reader_asks_for_on_one_screen():
    report = doctor()
    found = {check.name: check for check in report.checks}
    assert {
        "python",
        "torch",
        "transformers",
        "peft",
        "datasets",
        "jupyterlab",
        "ipywidgets",
        "anywidget",
        "plotly",
        "device",
        "dtype",
        "memory",
        "cache",
        "disk",
        "chromium",
    } <= set(found)
    # A CUDA build calls itself 2.13.0+cu130 and its package 2.13.0.
    assert Version(found["torch"].found).public == Version(torch.__version__).public
    assert found["dtype"].found.startswith(("float32: ", "bfloat16: "))
    assert len(printed(report).splitlines()) <= 40
    assert json.loads(json.dumps(report.as_dict()))["healthy"] == all(c.state != "problem" for c in report.checks)
    assert all(check.advice for check in report.checks if check.state != "ok")


def test_a_problem_is_printed_with_its_advice_and_marks_the_report():
    report = Report((Check("memory", "1 GB [free]"), Check("device", "[red]old[/red]", "problem", "buy [bold] one")))
    assert not report.healthy and report.as_dict()["healthy"] is False
    assert "1 GB [free]" in printed(report) and "[red]old[/red]" in printed(report)
    assert "device: buy [bold] one" in printed(report)
    assert "Everything is in place" in printed(Report((Check("memory", "8 GB"),)))


@pytest.mark.parametrize("version, state", [((3, 10), "problem"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "note")])
def test_python_versions(monkeypatch, version, state):
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    assert module._python().state == state


def test_a_missing_package_is_a_problem_only_where_it_is_needed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert (module._package("torch").state, module._package("jupyterlab", extra="lab").state) == ("problem", "note")


def test_an_old_package_is_measured_against_our_own_metadata(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.0.1")
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch>=2.11", "plotly>=5.24; extra == 'lab'"])
    old = module._package("torch")
    assert old.state == "problem" and "torch>=2.11" in old.advice
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0+cpu")
    assert module._package("torch").state == "ok"


@pytest.mark.parametrize(
    "kernel, page, state",
    [("8.1.9", "5.0.16", "ok"), ("7.7.1", "5.0.16", "problem"), ("7.7.1", "3.1.0", "ok"), ("8.1.9", None, "note")],
)
def test_the_two_halves_of_the_widgets_must_match(monkeypatch, tmp_path, kernel, page, state):
    jupyter_paths = pytest.importorskip("jupyter_core.paths")
    half = tmp_path / "@jupyter-widgets" / "jupyterlab-manager"
    if page:
        half.mkdir(parents=True)
        (half / "package.json").write_text(json.dumps({"version": page}))
    monkeypatch.setattr(metadata, "version", lambda name: kernel)
    monkeypatch.setattr(jupyter_paths, "jupyter_path", lambda *parts: [str(tmp_path)])
    check = module._browser_half("ipywidgets")
    assert check.state == state and bool(check.advice) == (state != "ok")


def test_little_memory_and_a_full_disk_are_seen(monkeypatch, tmp_path):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=8e9, available=2e9))
    assert {c.name: c.state for c in module._machine()}["memory"] == "note"
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=5e8))
    assert {c.name: c.state for c in module._cache()}["disk"] == "problem"
    (tmp_path / "not" / "yet" / "smollm2-135m-abc").mkdir(parents=True)
    assert {c.name: c.state for c in module._cache()}["disk"] == "ok"  # the model is made already


def test_a_gpu_that_this_build_cannot_drive_is_seen():
    def build(archs):
        return SimpleNamespace(
            cuda=SimpleNamespace(
                get_device_name=lambda: "T4",
                get_device_capability=lambda: (7, 5),
                get_arch_list=lambda: archs,
                get_device_properties=lambda i: SimpleNamespace(total_memory=16e9),
            )
        )

    assert module._cuda(build(["sm_80", "sm_90"])).state == "problem"
    assert module._cuda(build(["sm_70", "sm_90"])).state == "ok"


def test_a_missing_browser_is_a_note(monkeypatch):
    monkeypatch.delenv("SAFEDPO_CHROMIUM", raising=False)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert module._chromium().state == "note"


@pytest.fixture
def colab(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())


def test_on_colab_nothing_is_advised_that_upgrades(colab, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert module._package("peft").advice == "!pip install --no-deps peft"
    assert "--no-deps nbclient" in module._package("nbclient", extra="lab").advice
    assert module._package("jupyterlab", extra="lab") is None  # Colab is the page there
    monkeypatch.setattr(metadata, "version", lambda name: "2.0.1")
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch>=2.11"])
    assert "!pip install --no-deps 'torch>=2.11'" in module._package("torch").advice


def test_a_shared_read_only_cache_is_fine_where_it_has_the_models_and_whole(monkeypatch, tmp_path):
    from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer

    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path))
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    assert {c.name: c.state for c in module._cache()}["cache"] == "problem"  # empty, and cannot be filled
    folder = tmp_path / "smollm2-135m-household-x"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    (cache,) = (c for c in module._cache() if c.name == "cache")
    assert cache.state == "ok" and "shared, read-only" in cache.found
    (folder / "model.safetensors").write_bytes(b"half a download")
    (cache,) = (c for c in module._cache() if c.name == "cache")
    assert cache.state == "problem" and f"delete {folder}" in cache.advice
