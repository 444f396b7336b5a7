"""python -m apps.audio"""

from apps.audio.cli import app
from core.command_line.program import main

main(app)
