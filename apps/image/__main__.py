"""python -m apps.image"""

from apps.image.cli import app
from core.command_line.program import main

main(app)
