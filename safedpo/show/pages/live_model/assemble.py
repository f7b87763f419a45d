"""Put the live page together: the kit's own files, the model, the engine, and a manifest that names each by its sha256.

    out/index.html  page.css  page/*.js     the page
        model/*.js                          what runs in the worker: files, tokenizer, network, scorer
        engine/                             onnxruntime-web
        weights/                            the GGUF and the adapters, as they are
        graph.onnx  manifest.json  household.json

Nothing of it is converted, so the page's numbers are those of the very files that Python reads.
"""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from safedpo import __version__
from safedpo.errors import UserError
from safedpo.files import file_sha256, read_json, shipped, write_json
from safedpo.household.portable import portable_scorer
from safedpo.lm.models.download import GGUF
from safedpo.show.pages.live_model.engine import PACKAGE, PACKED, PLAIN, engine_folder, packed_name
from safedpo.show.pages.live_model.graph import Shape, build_graph
from safedpo.show.pages.live_model.parts import ShippedAdapter, model_file, read_adapter, sweep_adapters

PROMPT_TOKENS, RESPONSE_TOKENS = 256, 64  # the most of each, as in notebook 08


def assemble_live_model(out: str | Path, *, home: str | None = None) -> Path:
    """Write the live page into the folder `out` and return its index.html. Fetches what is not in the cache yet.

    `home`: the address that the page's "All lessons" leads to; without it the link is left out.
    The page needs a server, for browsers start no worker from a file: `python -m http.server --directory OUT` will do.

    Raises:
        UserError: the package onnx is missing, the model or the engine can neither be found nor fetched, or the shipped
            adapters do not belong together.
    """
    out, data = Path(out), shipped("data")
    policies, sft = sweep_adapters(data / "adapters" / "sweep"), read_adapter(data / "adapters" / "household-sft")
    stored = stored_measurements(data / "results" / "household", next(iter(policies.values())))
    shape = Shape()
    graph, plan = build_graph(shape, [adapter.lora for adapter in policies.values()], sft.lora)
    model, engine = model_file(), engine_folder()
    out.mkdir(parents=True, exist_ok=True)
    copy_page(out)
    (out / "graph.onnx").write_bytes(graph)
    for name in ("engine", "weights"):
        (out / name).mkdir(exist_ok=True)
    shutil.copyfile(model, out / "weights" / GGUF)
    for name, adapter in _named(policies, sft).items():
        shutil.copyfile(adapter.weights, out / "weights" / f"{name}.safetensors")
    for name in (*PLAIN, *map(packed_name, PACKED.values())):
        shutil.copyfile(engine / name, out / "engine" / name)
    write_json(out / "household.json", portable_scorer(), indent=None)
    paths = {"graph": "graph.onnx", "model": f"weights/{GGUF}"}
    paths |= {name: f"weights/{name}.safetensors" for name in _named(policies, sft)}
    paths |= {name: f"engine/{packed_name(file)}" for name, file in PACKED.items()}
    manifest = {
        "version": __version__,
        "home": home,
        "engine": PACKAGE,
        "files": {name: _file(out, path) for name, path in paths.items()},
        "plan": plan,
        "shape": {
            "layers": shape.layers,
            "kvHeads": shape.kv_heads,
            "head": shape.head,
            "vocabulary": shape.vocabulary,
        },
        "limits": {"promptTokens": PROMPT_TOKENS, "responseTokens": RESPONSE_TOKENS},
        "deltas": list(policies),
        "fingerprints": {"base": sft.base, "reference": next(iter(policies.values())).base},
        **stored,
    }
    write_json(out / "manifest.json", manifest, indent=None)
    return out / "index.html"


def _named(policies: dict[float, ShippedAdapter], sft: ShippedAdapter) -> dict[str, ShippedAdapter]:
    """The adapters in the order of the graph, by the names of their files."""
    return {f"adapter-delta-{delta:g}": adapter for delta, adapter in policies.items()} | {"adapter-sft": sft}


def _file(out: Path, path: str) -> dict:
    return {"path": path, "bytes": (out / path).stat().st_size, "sha256": file_sha256(out / path)}


def stored_measurements(results: Path, adapter: ShippedAdapter) -> dict:
    """What the page tells from stored measurements: beta, prompts, errors of blends, and hazards found by sampling."""
    try:
        sweep, blends, hazards = (
            read_json(results / name) for name in ("sweep.json", "blends.json", "live_hazards.json")
        )
    except (OSError, ValueError) as error:
        raise UserError(f"the live page shows stored measurements, and one is missing or damaged: {error}") from error
    for name, found in (("sweep.json", sweep["fingerprints"]), ("live_hazards.json", hazards["fingerprints"])):
        if found["reference"] != adapter.base:
            raise UserError(
                f"{results / name} was measured on weights {found['reference']}, the adapter in {adapter.folder} "
                f"stands on {adapter.base}; measure again or take the adapters of that sweep"
            )
    kept = ("delta", "weights", "minus_trained")
    return {
        "beta": adapter.settings["beta"],
        "pairs": sweep["settings"]["budgets"][-1],
        "blends": [{key: one[key] for key in kept} for one in blends["blends"]],
        "hazards": {key: hazards[key] for key in ("from", "to", "tried", "prompts", "check")},
    }


def copy_page(out: Path) -> None:
    with as_file(files("safedpo.show").joinpath("pages/live_model")) as source:
        for folder in ("page", "model"):
            shutil.copytree(source / folder, out / folder, dirs_exist_ok=True)
    (out / "page" / "index.html").replace(out / "index.html")
