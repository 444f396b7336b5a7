"""python -m apps.audio"""

from apps.audio.cli import app
from core.command_line.verbs import main

main(app)
