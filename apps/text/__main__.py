"""python -m apps.text"""

from apps.text.cli import app
from core.cli import main

main(app)
