"""`fourfold audio`: the shared verbs, `compose` and `effect`."""

from __future__ import annotations

import importlib

from apps.audio.tasks import TASKS
from core.command_line.verbs import build

app = build("audio", lambda: importlib.import_module("apps.audio.domain").DOMAIN, TASKS,
            program=("-m", "apps.audio"))
