"""`fourfold robotics`: the shared verbs, `collect` and `rollout`."""

from __future__ import annotations

import importlib

from apps.robotics.tasks import TASKS
from core.command_line.verbs import build

app = build("robotics", lambda: importlib.import_module("apps.robotics.domain").DOMAIN, TASKS,
            program=("-m", "apps.robotics"))
