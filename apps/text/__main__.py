"""python -m apps.text"""

from apps.text.cli import app
from core.command_line.verbs import main

main(app)
