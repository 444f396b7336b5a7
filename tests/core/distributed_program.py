"""One process of a program run by several: RANK and WORLD_SIZE come from the environment, as torchrun sets them.

python distributed_program.py FOLDER runs the command lines in FOLDER/words.json one after the other, and ends with the
last one's exit code; facts-RANK.json has all of them, and for how many rows of arrays this process drew noise.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from unittest.mock import patch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from tiny_domain import app  # noqa: E402

from core.command_line import program  # noqa: E402
from core.seeds import Rows  # noqa: E402

if __name__ == "__main__":
    program.WAIT = 0.5 if "TORCHELASTIC_RUN_ID" not in os.environ else program.WAIT
    folder, rows, plain = Path(sys.argv[1]), 0, Rows.normal

    def counted(self, size):
        global rows
        rows += len(self.generators)
        return plain(self, size)

    codes = []
    for words in json.loads((folder / "words.json").read_text()):
        try:
            with patch.object(Rows, "normal", counted if words[0] == "sample" else plain):
                program.main(app, [str(word) for word in words])
        except SystemExit as end:
            codes.append(end.code)
    (folder / f"facts-{os.environ['RANK']}.json").write_text(json.dumps({"codes": codes, "rows": rows}))
    sys.exit(codes[-1])
