"""A stand-in for what a Colab kernel imports before anything else: it records what the kit asks of it."""

from types import SimpleNamespace

asked: list[str] = []
output = SimpleNamespace(enable_custom_widget_manager=lambda: asked.append("widget manager"))
files = SimpleNamespace(upload=lambda: asked.append("upload") or {})
drive = SimpleNamespace(mount=lambda place: asked.append(f"drive at {place}"))
