"""The command line of the text domain: the shared verbs, and its own tasks."""

from __future__ import annotations

import importlib

from core.cli import build

app = build("text", lambda: importlib.import_module("apps.text.domain").DOMAIN)
