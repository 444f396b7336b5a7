"""Folders of the user's: which files are found, what is told of the others, what happens to broken ones."""

import os
from pathlib import Path

import pytest

from core.data.folders import Found, find_files, read_all
from core.errors import FourfoldError

IMAGES = (".png", ".jpg")


def filled(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def names(found: Found) -> list[str]:
    return [path.relative_to(found.root).as_posix() for path in found.files]


def only_line(call) -> str:
    with pytest.raises(FourfoldError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_at_any_depth_in_order_and_in_any_case(tmp_path):
    root = filled(tmp_path / "photos", "b/2.PNG", "b/1.png", "a/x/y/3.Jpg", "c.png", "a-b/4.png")
    assert names(find_files(root, IMAGES)) == ["a/x/y/3.Jpg", "a-b/4.png", "b/1.png", "b/2.PNG", "c.png"]
    assert names(find_files(root, (".PNG",))) == ["a-b/4.png", "b/1.png", "b/2.PNG", "c.png"]


def test_packed_files_count_where_they_are_asked_for(tmp_path):
    root = filled(tmp_path, "a.csv", "b.CSV.GZ", "c.gz", "d.png.gz")
    assert names(find_files(root, (".csv",))) == ["a.csv"]
    found = find_files(root, (".csv",), packed=True)
    assert names(found) == ["a.csv", "b.CSV.GZ"]
    assert found.others == {"": 1, ".png": 1}


def test_hidden_files_are_skipped_and_told(tmp_path):
    hidden = (".thumbnails/a.png", ".thumbnails/deep/b.png", "cats/.ipynb_checkpoints/c.png", "cats/._1.png",
              ".DS_Store", "__MACOSX/cats/1.png", "cats/Thumbs.db")
    found = find_files(filled(tmp_path / "photos", "cats/1.png", *hidden), IMAGES)
    assert names(found) == ["cats/1.png"]
    assert found.hidden == len(hidden) and found.others == {}
    assert found.report() == ["photos: 7 hidden files skipped (.DS_Store ...)"]


def test_a_hidden_root_is_no_reason_to_skip(tmp_path):
    root = filled(tmp_path / ".cache" / "photos", "1.png")
    assert names(find_files(root, IMAGES)) == ["1.png"]
    assert find_files(filled(tmp_path, ".one.png") / ".one.png", IMAGES).files == (tmp_path / ".one.png",)


def test_other_kinds_are_told_by_suffix_but_for_those_the_caller_knows(tmp_path):
    others = ("a.txt", "b.TXT", "sub/c.txt", "d.pdf", "captions.csv", "sub/captions.csv")
    root = filled(tmp_path / "photos", "1.png", *others)
    found = find_files(root, IMAGES, known=("captions.csv",))
    assert found.others == {".txt": 3, ".pdf": 1, ".csv": 1}
    assert found.report() == ["photos: 5 files of other kinds left out (.txt 3, .csv 1, .pdf 1)"]
    assert find_files(filled(tmp_path / "clean", "1.png"), IMAGES).report() == []


def test_classes_are_the_top_folders(tmp_path):
    root = filled(tmp_path / "photos", "dogs/2020/1.png", "dogs/2021/2.png", "cats/2020/3.png", "4.png", "5.png")
    found = find_files(root, IMAGES)
    assert found.classes == ("cats", "dogs")
    assert [(path.name, name) for path, name in found.classified] == [("3.png", "cats"), ("1.png", "dogs"),
                                                                     ("2.png", "dogs")]
    assert [path.name for path in found.beside] == ["4.png", "5.png"]
    assert len(found.classified) + len(found.beside) == len(found.files)
    assert found.report("images") == []
    assert found.report("images", by_class=True) == [
        "photos: 2 images beside the class folders left out (4.png ...): move them into one"]


def test_a_flat_folder_has_no_classes_and_nothing_beside_them(tmp_path):
    found = find_files(filled(tmp_path, "1.png", "2.png"), IMAGES)
    assert found.classes == () and found.classified == () and found.beside == ()
    assert [found.class_of(path) for path in found.files] == [None, None]


def test_loops_of_links_end(tmp_path):
    root = filled(tmp_path, "photos/a/1.png", "photos/b/2.png", "outside.png") / "photos"
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "above").symlink_to(tmp_path)
    (root / "b" / "self").symlink_to(root / "b")
    (root / "b" / "circle.png").symlink_to(root / "b" / "circle.png")
    found = find_files(root, IMAGES)
    assert names(found) == ["a/1.png", "b/2.png"]
    assert (found.repeated, found.broken) == (3, 1)
    assert len(found.report()) == 2


def test_a_folder_under_the_root_is_found_by_its_own_path_not_by_a_link_to_it(tmp_path):
    root = filled(tmp_path / "photos", "z/1.png")
    (root / "a").symlink_to(root / "z")
    assert find_files(root, IMAGES).classes == ("z",)


def test_a_linked_folder_is_walked_once_and_linked_files_are_read(tmp_path):
    elsewhere = filled(tmp_path / "elsewhere", "deep/1.png", "2.png")
    root = filled(tmp_path / "photos", "3.png")
    (root / "one").symlink_to(elsewhere)
    (root / "two").symlink_to(elsewhere)
    (root / "4.png").symlink_to(elsewhere / "2.png")
    found = find_files(root, IMAGES)
    assert names(found) == ["3.png", "4.png", "one/2.png", "one/deep/1.png"]
    assert found.repeated == 1 and "(two)" in found.report()[0]
    linked_root = tmp_path / "link"
    linked_root.symlink_to(root)
    assert names(find_files(linked_root, IMAGES)) == names(found)


def test_broken_links_are_counted(tmp_path):
    root = filled(tmp_path / "photos", "1.png")
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = find_files(root, IMAGES)
    assert names(found) == ["1.png"]
    assert found.report() == ["photos: 1 broken link skipped (gone.png)"]


def test_a_pipe_is_no_image(tmp_path):
    root = filled(tmp_path / "photos", "1.png")
    os.mkfifo(root / "2.png")
    found = find_files(root, IMAGES)
    assert names(found) == ["1.png"] and found.others == {"special": 1}


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    root = filled(tmp_path / "photos", "1.png", "locked/2.png", ".locked/3.png")
    listed = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    line = only_line(lambda: find_files(root, IMAGES))
    assert str(root / "locked") in line and "Permission denied" in line


def test_odd_names_do_not_break_the_report(tmp_path):
    root = filled(tmp_path / "photos", "1.png", ".a\nb.png")
    (root / os.fsdecode(b".\xff.png")).write_text("x")
    (root / os.fsdecode(b"2.\xff")).write_text("x")
    lines = find_files(root, IMAGES).report()
    assert len(lines) == 2 and all(line.isprintable() and line.encode() for line in lines)


@pytest.mark.parametrize(("there", "said"), [
    ((), [".png, .jpg"]),
    (("a.txt", ".b.png"), [".png, .jpg", "1 hidden file", ".txt 1"]),
])
def test_nothing_found_says_what_is_wanted(tmp_path, there, said):
    line = only_line(lambda: find_files(filled(tmp_path, *there), IMAGES))
    assert all(part in line for part in said), line


def test_a_root_that_is_missing_or_of_another_kind(tmp_path):
    assert "no such" in only_line(lambda: find_files(tmp_path / "gone", IMAGES))
    path = filled(tmp_path, "a.txt") / "a.txt"
    assert ".png" in only_line(lambda: find_files(path, IMAGES))
    assert ".gz" in only_line(lambda: find_files(path, (".csv",), packed=True))


def test_a_single_file_is_its_own_root(tmp_path):
    path = filled(tmp_path, "a.csv.gz", "b.csv") / "a.csv.gz"
    found = find_files(path, (".csv",), packed=True)
    assert found.files == (path,) and found.class_of(path) is None and found.classes == () and found.report() == []


# Reading -------------------------------------------------------------------------------------------------------------


def length(path: Path) -> int:
    text = path.read_text()
    if "bad" in text:
        raise FourfoldError(f"{path} is damaged")
    if "odd" in text:
        raise FourfoldError("is odd")
    return len(text)


def many(root: Path, good: int, bad: int) -> list[Path]:
    filled(root, *(f"bad{i:02}.png" for i in range(bad)), *(f"good{i:02}.png" for i in range(good)))
    return sorted(root.iterdir())


def test_good_files_are_read_with_their_index(tmp_path):
    assert read_all(many(tmp_path, 3, 0), length) == ([(0, 10), (1, 10), (2, 10)], [])
    assert read_all([], length) == ([], [])


@pytest.mark.parametrize(("good", "bad", "share", "passes"), [
    (19, 1, 0.05, True), (18, 1, 0.05, False), (38, 2, 0.05, True), (38, 3, 0.05, False), (30, 1, 0.001, True),
    (30, 1, 0.0, False), (71, 29, 0.29, True), (0, 20, 1.0, True), (0, 1, 0.05, False),
])
def test_few_broken_files_are_skipped_and_told_many_are_refused(tmp_path, good, bad, share, passes):
    files = many(tmp_path, good, bad)
    if passes:
        items, lines = read_all(files, length, max_broken=share, what="images")
        assert [index for index, _ in items] == list(range(bad, bad + good))
        [line] = lines
    else:
        line = only_line(lambda: read_all(files, length, max_broken=share, what="images"))
    assert f"{bad} of {good + bad} images" in line
    assert line.count("is damaged") == min(bad, 5) and (f"and {bad - 5} more" in line) == (bad > 5)


def test_all_broken_files_are_found_in_one_run_each_with_its_name_and_reason(tmp_path):
    files = [filled(tmp_path, name) / name for name in ("bad.png", "good.png", "odd.png")]
    line = only_line(lambda: read_all(files, length))
    assert "2 of 3 files" in line and f"{files[0]} is damaged" in line and f"{files[2]}: is odd" in line
    assert line.count("bad.png") == 1


def test_other_errors_are_not_hidden(tmp_path):
    with pytest.raises(ZeroDivisionError):
        read_all(many(tmp_path, 30, 0), lambda path: 1 // 0)
