"""`fourfold molecules`: the shared verbs, and the tasks of `apps.molecules.tasks`."""

from __future__ import annotations

import importlib

from apps.molecules.tasks import TASKS
from core.command_line.verbs import build

app = build("molecules", lambda: importlib.import_module("apps.molecules.domain").DOMAIN, TASKS,
            program=("-m", "apps.molecules"))
