"""Write the README's table of the tour from benchmarks/results/tour.json, so that its figures are the file's.

    python -m benchmarks.readme_table
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "tour.json"
MARKS = ("<!-- tour table: begin -->", "<!-- tour table: end -->")


def table() -> str:
    """Markdown: one row a cell, mean and range over seeds."""
    result = json.loads(RESULTS.read_text())
    cells: dict[str, list[dict]] = {}
    for key, row in result["metrics"].items():
        if not key.startswith("minutes/"):
            cells.setdefault(key.rpartition("/")[0], []).append(row)
    minutes = [value for key, value in result["metrics"].items() if key.startswith("minutes/")]
    lines = ["| domain | family | measure | mean (range of seeds) | baseline | real against real | seconds |",
             "|---|---|---|---|---|---|---|"]
    for name, rows in cells.items():
        domain, family = name.split("/")
        values = [row["value"] for row in rows]
        baseline = f"{statistics.mean(row['baseline'] for row in rows):.3g} ({rows[0]['baseline_name']})"
        floor = "" if rows[0]["floor"] is None else f"{statistics.mean(row['floor'] for row in rows):.3g}"
        kind = "" if rows[0]["kind"] == "estimate" else f" ({rows[0]['kind']})"
        lines.append(f"| {domain} | {family} | `{rows[0]['measure']}`{kind} | {statistics.mean(values):.3g} "
                     f"({min(values):.3g} to {max(values):.3g}) | {baseline} | {floor} "
                     f"| {statistics.mean(row['seconds'] for row in rows):.0f} |")
    won = sum(bool(row["beats_baseline"]) for rows in cells.values() for row in rows)
    total = sum(map(len, cells.values()))
    lines += ["", f"Each cell's headline, {len(minutes)} seeds: {won} of {total} beat their baseline. Training, sampling "
              f"and judging all twenty took {min(minutes):.0f} to {max(minutes):.0f} minutes a seed on {result['hardware']} "
              f"(`{result['command']}`; all figures in `benchmarks/results/tour.json`). Seconds are a cell's, on one "
              "core, imports included."]
    return "\n".join(lines)


def main() -> None:
    """Put the table between its marks."""
    readme = ROOT / "README.md"
    begin, end = map(re.escape, MARKS)
    text = re.sub(f"{begin}.*{end}", lambda _: f"{MARKS[0]}\n{table()}\n{MARKS[1]}", readme.read_text(), flags=re.S)
    readme.write_text(text)
    print(table())


if __name__ == "__main__":
    main()
