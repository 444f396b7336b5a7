"""python -m apps.text"""

from apps.text.cli import app
from core.command_line.program import main

main(app)
