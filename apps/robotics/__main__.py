"""python -m apps.robotics"""

from apps.robotics.cli import app
from core.cli import main

main(app)
