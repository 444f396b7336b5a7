"""python -m apps.image"""

from apps.image.cli import app
from core.command_line.verbs import main

main(app)
