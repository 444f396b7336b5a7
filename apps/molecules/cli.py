"""The command line of the molecules domain: the shared verbs, and its own tasks."""

from __future__ import annotations

import importlib

from core.cli import build

app = build("molecules", lambda: importlib.import_module("apps.molecules.domain").DOMAIN)
