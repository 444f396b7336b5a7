"""`fourfold text`: the shared verbs, and `generate`, `infill`, `score`, `translate`, `summarize`, `interpolate`."""

from __future__ import annotations

import importlib

from apps.text.tasks import TASKS
from core.command_line.verbs import build

app = build("text", lambda: importlib.import_module("apps.text.domain").DOMAIN, TASKS,
            program=("-m", "apps.text"))
