"""python -m apps.robotics"""

from apps.robotics.cli import app
from core.command_line.program import main

if __name__ == "__main__":
    main(app)
