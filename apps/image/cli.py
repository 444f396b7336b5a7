"""The command line of the image domain: the shared verbs, and its own tasks."""

from __future__ import annotations

import importlib

from apps.image.tasks import TASKS
from core.command_line.verbs import build

app = build("image", lambda: importlib.import_module("apps.image.domain").DOMAIN, TASKS,
            program=("-m", "apps.image"))
