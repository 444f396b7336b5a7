"""Tables as people have them: every row is read, is told of, or the file is refused."""

import csv
import gzip
import io
import json
import random
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.data.tables import Dropped, Table, read_json_lines, read_lines, read_table
from core.errors import FourfoldError

ONE_SHAPE = settings(max_examples=60, deadline=None, derandomize=True,
                     suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def put(tmp_path):
    def write(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def only_line(call) -> str:
    with pytest.raises(FourfoldError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def accounted(table: Table) -> bool:
    """Of a table without rows over several lines: whether each line is a row, the header, empty or dropped."""
    return len(table) + table.header + table.blank + len(table.dropped) == table.physical


# Well-formed tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [
    "a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "a,b\r\n1,2\n3,4\r",
    "\ufeffa,b\n1,2\n3,4\n", '\ufeff"a","b"\n1,2\n3,4\n', "a,b\n1,2\n3,4\n".encode("utf-16"),
    b"\xfe\xff" + "a,b\n1,2\n3,4\n".encode("utf-16-be"), '"a","b"\n"1","2"\n"3","4"\n', " a , b \n1,2\n3,4\n",
    "a;b\n1;2\n3;4\n", "a\tb\n1\t2\n3\t4\n", "a|b\n1|2\n3|4\n", gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0),
])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_the_same_table_in_all_its_forms(put, content, suffix):
    packed = isinstance(content, bytes) and content[:2] == b"\x1f\x8b"
    table = read_table(put(content, f"t{suffix}{'.gz' if packed else ''}"))
    assert (table.names, table.rows, list(table.lines)) == (("a", "b"), [["1", "2"], ["3", "4"]], [2, 3])
    assert table.header and table.report() == [] and accounted(table)


def test_quotes_as_rfc_4180_has_them(put):
    table = read_table(put('a,b\n"x, y","he said ""no"""\n"",two\n"one\r\ntwo",3\n4,5\n'))
    assert table.rows == [["x, y", 'he said "no"'], ["", "two"], ["one\r\ntwo", "3"], ["4", "5"]]
    assert list(table.lines) == [2, 3, 4, 6]
    assert table.joined == (4,) and table.report() == ["t.csv: 1 row with a cell in quotes over several lines (line 4)"]


def test_only_cr_and_lf_end_a_line(put):
    odd = "\u2028 \u2029 \x85 \x0c \x0b \x1c \x1d \x1e"
    assert read_table(put(f"a,b\n1{odd}1,2\n3,4\n")).rows == [[f"1{odd}1", "2"], ["3", "4"]]


def test_empty_lines_are_skipped_and_counted_blank_cells_are_not(put):
    table = read_table(put("\n  \na,b\n\n1,2\n   \n,\n\n"))
    assert (table.rows, list(table.lines), table.blank) == ([["1", "2"], ["", ""]], [5, 7], 5)
    assert accounted(table)
    assert read_table(put("\n\t\n\t\n1\t2\n", "t.tsv"), header=False).rows == [["", ""], ["", ""], ["1", "2"]]


def test_the_cases_of_the_house():
    root = Path(__file__).parents[2]
    cases = next((path for home in (root, root.parent) if (path := home / "shared" / "cases").is_dir()), None)
    if cases is None:
        pytest.skip("the shared cases are not here: the tests below make their like")
    stray = read_table(cases / "stray-quotes.tsv", columns=("smiles",))
    assert len(stray.column("SMILES")) == 60 == len(set(stray.column("smiles")))
    assert stray.names == ("smiles",) and stray.stray == (12, 42) and not stray.dropped and accounted(stray)
    semicolons = read_table(cases / "semicolons.csv")
    assert semicolons.names == ("ChEMBL ID", "Name", "Smiles")
    assert len(semicolons.column("Smiles")) == 60 and semicolons.column("chembl id")[:2] == ["X0", "X1"]
    assert semicolons.report() == [] and accounted(semicolons)


# Stray quotes --------------------------------------------------------------------------------------------------------


def stray_table(separator: str, first: str, second: str) -> tuple[str, list[list[str]]]:
    """A table of 40 rows of which the 10th and the 30th have a quote each."""
    rows = [[f"M{i}", f"name {i}", "C" * i + "O"] for i in range(40)]
    rows[10][1], rows[30][1] = first, second
    return "\n".join(separator.join(row) for row in [["id", "name", "smiles"], *rows]), rows


@pytest.mark.parametrize("separator", ["\t", ",", ";", "|"])
@pytest.mark.parametrize(("first", "second"), [
    ('"gamma form', '"delta form'),  # neither is closed
    ('"gamma form', 'delta" form'),
    ('"gamma form', 'delta form"'),  # together they look like one cell in quotes
    ('"gamma form', "delta form"),
    ('"gamma" form', "delta form"),
    ('"', '"'), ('"""', "x"), ("5' 3\"", "2' 1\""), ('a "quoted" word', '"'),
])
def test_a_stray_quote_swallows_nothing(put, separator, first, second):
    content, rows = stray_table(separator, first, second)
    table = read_table(put(content))
    assert table.rows == rows
    assert not table.dropped and accounted(table)
    assert set(table.stray) <= {12, 32} and bool(table.stray) == bool(table.report())


def test_ragged_and_empty_rows_between_two_stray_quotes_are_not_swallowed_either(put):
    content, rows = stray_table(",", '"gamma form', 'delta form"')
    lines = content.split("\n")
    lines[15:15], lines[20:20] = [""], ["a,b"]
    table = read_table(put("\n".join(lines)))
    assert table.rows == rows and table.blank == 1 and len(table.dropped) == 1 and accounted(table)


def test_a_stray_quote_is_told_with_its_line(put):
    assert read_table(put(stray_table("\t", '"a', '"b')[0], "t.tsv")).report() == [
        "t.tsv: 2 lines read without quoting, for a stray quote (lines 12, 32)"]


def test_rows_around_a_stray_quote_keep_their_quotes(put):
    table = read_table(put('a,b\n1,"x, y"\n2,"stray\n3,"x, z"\n4,"two\nlines"\n5,six\n'))
    assert table.rows == [["1", "x, y"], ["2", '"stray'], ["3", "x, z"], ["4", "two\nlines"], ["5", "six"]]
    assert table.stray == (3,) and table.joined == (5,)


def test_two_stray_quotes_of_one_line_join_no_cells_across_tabs(put):
    table = read_table(put('a\tb\tc\n1\t2\t3\n"4\t5"\t6\n', "t.tsv"))
    assert table.rows == [["1", "2", "3"], ['"4', '5"', "6"]] and table.stray == (3,)


@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_two_stray_quotes_of_neighbouring_rows_join_no_lines_across_tabs(put, gap):
    table = read_table(put(f'a\tb\tc\n1\t"x\t2{gap}3\ty"\t4\n', "t.tsv"))
    assert table.rows == [["1", '"x', "2"], ["3", 'y"', "4"]] and table.stray == (2,)


def test_prose_in_quotes_may_have_line_ends_and_commas(put):
    table = read_table(put('file,caption\na.png,"A dog\nand a cat, both black"\nb.png,"One,\ntwo,\n\nthree"\n'))
    assert table.column("caption") == ["A dog\nand a cat, both black", "One,\ntwo,\n\nthree"]
    assert not table.stray and not table.dropped


def test_many_stray_quotes_take_no_time(put):
    rows = [f'{i},"name,C' for i in range(5000)] + [f'{i},foo","bar' for i in range(5000)]
    start = time.perf_counter()
    table = read_table(put("\n".join(["id,name,smiles", *rows])))
    assert len(table) == 10_000 and accounted(table)
    assert time.perf_counter() - start < 3  # 0.1 s; each looking through all that follow takes minutes


# Ragged rows ---------------------------------------------------------------------------------------------------------


def test_rows_of_another_width_are_dropped_with_line_and_reason(put):
    table = read_table(put("a,b,c\n1,2,3\n1,2\n\n1,2,3,4\nx\n4,5,6\n"))
    assert table.rows == [["1", "2", "3"], ["4", "5", "6"]] and list(table.lines) == [2, 7]
    assert table.dropped == (Dropped(3, "2 cells instead of 3"), Dropped(5, "4 cells instead of 3"),
                             Dropped(6, "1 cell instead of 3"))
    assert accounted(table)
    assert table.report() == ["t.csv: 3 rows dropped (line 3: 2 cells instead of 3; line 5: 4 cells instead of 3; "
                              "line 6: 1 cell instead of 3)"]


@pytest.mark.parametrize(("content", "said"), [
    ("", "empty"), ("\n \n", "empty"), ("a,b\n", "no row under its header"), ("a,b\n1,2,3\n4\n", "line 2: 3 cells"),
])
def test_a_table_without_a_row_is_refused(put, content, said):
    assert said in only_line(lambda: read_table(put(content)))


# Separators ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "name", "names"), [
    ("id\tname, long\tsmiles\n1\ta, b\tC\n2\tc, d\tO\n", "t.csv", ("id", "name, long", "smiles")),
    ("a,b\n1,2\n", "t.tsv", ("a", "b")),
    ("a;b\n1,5;2\n2,5;3\n", "t.csv", ("a", "b")),
    ("a,b;c\n1,2;3\n", "t.csv", ("a", "b;c")),
    ("a,b|c\n1,2|3\n", "t.psv", ("a,b", "c")),
    ("a,b\n1,x\n2,y; z\n3,\"p\tq\"\n", "t.csv", ("a", "b")),
    ("smiles\nC1CC1\nCCO\n", "t.csv", ("smiles",)),
])
def test_separators_are_found_even_where_the_suffix_lies(put, content, name, names):
    table = read_table(put(content, name))
    assert table.names == names and not table.dropped


# Headers and columns -------------------------------------------------------------------------------------------------


def test_a_header_is_known_by_the_names_looked_for(put):
    path = put("go\tva\nGo.\tVa !\n")
    assert read_table(path, columns=("source", "target")).rows == [["go", "va"], ["Go.", "Va !"]]
    assert read_table(path, columns=("source", "target")).names == ("1", "2")
    assert read_table(path, columns=(" VA",)).column("va") == ["Va !"]
    assert read_table(path, header=False, columns=("2",)).rows == [["va"], ["Va !"]]
    assert read_table(path, header=True).names == ("go", "va")


@pytest.mark.parametrize(("first", "header"), [
    ("id,name", True), (",name", True), ("1,name", False), ("x,x", False), ("2.5,-3e4", False), (",", False),
])
def test_without_names_different_words_are_a_header(put, first, header):
    table = read_table(put(f"{first}\na,b\n"))
    assert table.header == header and len(table) == 2 - header


def test_columns_in_any_case_with_spaces(put):
    table = read_table(put('ChEMBL ID, "x" ,SMILES\nM1,2,C\n'))
    assert table.column("chembl id") == table.column(" ChEMBL ID ") == ["M1"]
    assert table.column("Smiles") == ["C"]


def test_an_unknown_column_is_refused_with_the_closest(put):
    path = put("id,smiles\n1,C\n")
    assert "did you mean 'smiles'?" in only_line(lambda: read_table(path).column("smile"))
    assert "did you mean 'smiles'?" in only_line(lambda: read_table(path, header=True, columns=("id", "smile")))
    assert "known: id, smiles" in only_line(lambda: read_table(path).column("weight"))
    assert "2 columns 'A'" in only_line(lambda: read_table(put("a,b,a\n1,2,3\n"), header=True).column("A"))


# Files that are no tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "said"), [
    (b"a,b\n1,2\n" * 3000 + b"caf\xe9,1\n", "line 6,001: is not UTF-8"),
    (b"a,b\n1,\0\n", "line 2: is not text but binary"),
    ("a,b\n1,2\n".encode("utf-16-le"), "line 1: is not text but binary"),
    (b"\xff\xfea\0,\0b\0\n\0\x00\xd8", "not UTF-8"),
])
def test_what_is_no_text_is_refused_with_its_line(put, content, said):
    for read in (read_table, read_lines):
        assert said in only_line(lambda read=read: read(put(content)))


def test_damaged_packing_missing_files_and_folders_are_refused(put, tmp_path):
    packed = gzip.compress(random.Random(0).randbytes(5000).hex().encode())
    for content in (packed[:3000], b"no gzip", packed[:100] + b"\0" * 50 + packed[150:]):
        assert "cannot be read" in only_line(lambda content=content: read_table(put(content, "t.csv.gz")))
    assert "no such file" in only_line(lambda: read_table(tmp_path / "gone.csv"))
    assert "cannot be read" in only_line(lambda: read_table(tmp_path))


@pytest.mark.parametrize("cell", ["x" * 1_000_001, '"' + "x" * 1_000_001 + '"', '"' + "word\n" * 250_000 + '"',
                                  '"' + "word, word\n" * 300_000 + '"'])
def test_a_cell_of_more_than_a_million_characters_is_refused_with_its_line(put, cell):
    line = only_line(lambda: read_table(put(f"a,b,c\n1,2,3\n4,{cell},5\n6,7,8\n")))
    assert "line 3" in line and "1,000,000" in line


def test_a_cell_of_a_million_characters_is_read(put):
    content = f'a,b\n1,{"x" * 1_000_000}\n2,"{"y" * 499_999}\n{"z" * 499_999}"\n'
    assert [len(cell) for cell in read_table(put(content)).column("b")] == [1_000_000, 999_999]
    assert csv.field_size_limit() == 131_072  # others' limit is as it was


def test_a_quote_that_is_never_closed_in_a_large_table_is_stray(put):
    rows = "".join(f"{i},name,CCO\n" for i in range(150_000))
    table = read_table(put(f'id,name,smiles\n0,"stray,C\n{rows}'), columns=("name",))
    assert len(table) == 150_001 and table.stray == (2,) and accounted(table)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(put):
    path = put(gzip.compress(b"x," * 20_000_000, 1, mtime=0), "t.csv.gz")
    tracemalloc.start()
    try:
        assert "line 1" in only_line(lambda: read_table(path))
        assert tracemalloc.get_traced_memory()[1] < 30e6  # of 40 MB
    finally:
        tracemalloc.stop()


def test_a_column_of_a_large_table_takes_a_few_times_its_size(put):
    path = put("id,name,smiles\n" + "".join(f"CHEMBL{i},compound {i},{'C' * (i % 40)}{i}\n" for i in range(10_000)))
    tracemalloc.start()
    try:
        assert len(read_table(path, columns=("smiles",))) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 3 * path.stat().st_size
    finally:
        tracemalloc.stop()


# Round trips ---------------------------------------------------------------------------------------------------------

odd = st.sampled_from('",;\t|\n\r a1\u2028\x0c\x85')
letters = st.one_of(odd, st.characters(codec="utf-8", exclude_characters="\0"))
cells = st.text(letters, max_size=8)
grids = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8))


def by_chance(lines: list[str], separator: str, width: int) -> bool:
    """Whether a row's lines are each as wide as the row: nobody can know then that its quotes are no stray ones."""
    return len(lines) > 1 and all(line.isspace() or line.count(separator) + 1 == width for line in lines)


@ONE_SHAPE
@given(grids, st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.booleans())
def test_what_the_csv_module_writes_is_read_back(put, grid, separator, quoting, packed):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting)
    header = [f"column {i}" for i in range(len(grid[0]))]
    for row in [header, *grid]:
        start = text.tell()
        writer.writerow(row)
        written = text.getvalue()[start:]
        assume(not by_chance(io.StringIO(written, newline="").readlines(), separator, len(row)))
    content = text.getvalue().encode()
    path = put(gzip.compress(content, 1, mtime=0) if packed else content, "t.csv.gz" if packed else "t.csv")
    table = read_table(path, columns=header)
    assert table.rows == grid
    assert table.names == tuple(header) and not table.dropped and not table.stray


@ONE_SHAPE
@given(st.lists(st.text(st.sampled_from('",\n\ra'), max_size=12), min_size=1, max_size=6))
def test_every_line_of_any_file_is_accounted_for(put, pieces):
    path = put("h,i\n1,2\n" + "\n".join(pieces))
    table = read_table(path, header=True)
    assert table.physical == len(read_lines(path))
    assert len(table.rows) == len(table.lines) == len(table)
    told = {*table.lines, *(line for line, _ in table.dropped)}
    assert len(told) == len(table) + len(table.dropped) and max(told) <= table.physical
    if not table.joined:
        assert accounted(table)


# Lines and JSON lines ------------------------------------------------------------------------------------------------


def test_lines_end_at_cr_and_lf_only_and_empty_ones_count(put):
    path = put("\ufeffone\u2028uno\r\n\ntwo\x0c\rthree\x85 \n", "t.txt")
    assert read_lines(path) == [(1, "one\u2028uno"), (2, ""), (3, "two\x0c"), (4, "three\x85 ")]
    assert read_lines(put(b"", "t.txt")) == []
    assert read_lines(put("é\n".encode("utf-16"), "t.txt")) == [(1, "é")]
    assert read_lines(put(gzip.compress(b"a\nb", mtime=0), "t.txt.gz")) == [(1, "a"), (2, "b")]


def test_a_long_line_of_text_is_read(put):
    assert read_lines(put("word " * 2_000_000, "t.txt")) == [(1, "word " * 2_000_000)]


def test_json_lines_split_at_lf_only(put):
    entries = [{"text": "a\u2028b\x85c"}, {"text": "d\r\ne", "n": 1}, {}, {"text": "\U0001f600"}]
    for ascii_only in (False, True):
        lines = [json.dumps(entry, ensure_ascii=ascii_only) for entry in entries]
        path = put("\ufeff" + "\r\n\n".join(lines), "t.jsonl")
        assert read_json_lines(path) == list(zip((1, 3, 5, 7), entries, strict=True))
    assert read_json_lines(put('{"a":\r1}\n{"a": 2}', "t.jsonl")) == [(1, {"a": 1}), (2, {"a": 2})]


@pytest.mark.parametrize(("line", "said"), [
    ("{text: 1}", "is no JSON"), ('{"text": "a"', "is no JSON"), ("[" * 200_000, "is no JSON"), ("[1]", "an object"),
    ("1" * 5000, "is no JSON"), ('"text"', "an object"), ("null", "an object"), (r'{"text": "\ud83d"}', "half"),
    (r'{"\ud83d": 1}', "half"), ('{"a": 1} {"b": 2}', "is no JSON"),
])
def test_a_line_that_is_no_json_object_is_named(put, line, said):
    told = only_line(lambda: read_json_lines(put(f'{{"text": "fine"}}\n\n{line}\n', "t.jsonl")))
    assert "line 3" in told and said in told
