"""python -m apps.audio"""

from apps.audio.cli import app
from core.cli import main

main(app)
