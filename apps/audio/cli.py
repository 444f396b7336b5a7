"""The command line of the audio domain: the shared verbs, and its own tasks."""

from __future__ import annotations

import importlib

from core.cli import build

app = build("audio", lambda: importlib.import_module("apps.audio.domain").DOMAIN)
