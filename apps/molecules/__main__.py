"""python -m apps.molecules"""

from apps.molecules.cli import app
from core.cli import main

main(app)
