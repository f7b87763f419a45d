"""Weights come in and go out.

A name becomes a folder (`presets`, `download`), the folder a model on a device in a dtype that is said with its reason
(`load`, `loading`, `dtype`), told apart by what its weights are (`fingerprint`). Adapters are put on it and read back
(`adapters`, `policies`). `memory` says what training it takes before any weight is loaded; `tiny` is a model for tests.
"""
