"""python -m apps.image"""

from apps.image.cli import app
from core.cli import main

main(app)
