"""The live model: a static page in which the shipped model answers, with its safety margin under a slider.

assemble.py        the folder of the page, from the kit's files, the model and the engine
graph.py           the network as an ONNX graph whose adapter weights are an input (graph_builder.py writes it)
engine.py          onnxruntime-web, by its sha512        parts.py   the model's file and the adapters, checked
page/              what the reader sees (JavaScript, no framework)
model/             what computes: files, tokenizer, weights, network, sampling, scorer
"""

from safedpo.show.pages.live_model.assemble import assemble_live_model

__all__ = ["assemble_live_model"]
