"""python -m apps.molecules"""

from apps.molecules.cli import app
from core.command_line.program import main

if __name__ == "__main__":
    main(app)
