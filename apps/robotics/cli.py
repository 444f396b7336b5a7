"""The command line of the robotics domain: the shared verbs, and its own tasks."""

from __future__ import annotations

import importlib

from core.cli import build

app = build("robotics", lambda: importlib.import_module("apps.robotics.domain").DOMAIN)
