"""Packages that are installed with an extra only: heavy ones of one domain."""

from __future__ import annotations

import importlib
from types import ModuleType

from core.errors import FourfoldError


def needed(module: str, extra: str, instead: str = "") -> ModuleType:
    """The module, imported; `extra`: what installs it; `instead`: what else the user may do, as the end of a line.

    Raises:
        FourfoldError: it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        package = module.partition(".")[0]
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({str(error).splitlines()[0]})"
        raise FourfoldError(
            f"{package} cannot be loaded{reason}: install the extra {extra!r} (in a checkout: python -m pip install -e "
            f"'.[{extra}]'){instead}") from error
