"""Archives become the folder that was packed; harmful and damaged ones are refused."""

import gzip
import io
import shutil
import struct
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LoadError
from pipeline.serving.files.artifacts import ArtifactCache
from pipeline.serving.files.local_files import digest_of
from pipeline.serving.files.unpacking import unpack

FILES = {"model.onnx": b"weights", "sub/.hidden": b"two", "empty": b""}


def tar(files, name="m.tar.gz", **changes):
    """A tar archive with gzip; what changes in the header of each of its members."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            for key, value in changes.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return name, content.getvalue()


def zipped(files, name="m.zip", mode=0, method=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, data in files.items():
            member = zipfile.ZipInfo(path)
            member.external_attr = mode << 16
            archive.writestr(member, data, method)
    return name, content.getvalue()


both = pytest.mark.parametrize("pack", [tar, zipped])


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache", None)


def put(folder, packed):
    name, content = packed
    (folder / name).write_bytes(content)
    return str(folder / name)


def folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def refusal(tmp_path, packed, most_bytes=1 << 20):
    with pytest.raises(LoadError) as error:
        unpack("m", folder(tmp_path, {"m": packed[1]}) / "m", tmp_path / "made", most_bytes)
    assert not (tmp_path / "made").exists()
    shutil.rmtree(tmp_path / "made.unpacked")
    return str(error.value)


@both
@pytest.mark.parametrize("around", ["", "model/", "./a/b/"])
def test_archive_is_the_version_that_was_packed(tmp_path, cache, pack, around):
    uri = put(tmp_path, pack({around + name: content for name, content in FILES.items()}))
    fetched = cache.fetch(uri)
    assert fetched.path.name == "m"
    assert fetched.digest == digest_of(folder(tmp_path / "plain", FILES))
    assert {path.name for path in fetched.path.parent.iterdir()} == {"m"}
    assert (fetched.path / "sub" / ".hidden").read_bytes() == b"two"


def test_slash_at_the_end_makes_no_folder_of_an_archive(tmp_path, cache):
    uri = put(tmp_path, zipped(FILES))
    assert cache.fetch(f"{uri}/").digest == cache.fetch(uri).digest


def test_what_macos_adds_is_left_out(tmp_path, cache):
    more = {"__MACOSX/m/._model.onnx": b"x", "m/._model.onnx": b"x", ".DS_Store": b"x"}
    uri = put(tmp_path, zipped({f"m/{name}": data for name, data in FILES.items()} | more))
    assert cache.fetch(uri).digest == digest_of(folder(tmp_path / "plain", FILES))


def test_folder_with_the_name_of_an_archive_is_a_folder(tmp_path, cache):
    path = folder(tmp_path / "m.zip", FILES)
    assert cache.fetch(str(path)).path == path


@both
def test_archive_that_changed_is_another_version(tmp_path, cache, pack):
    old = cache.fetch(put(tmp_path, pack(FILES)))
    new = cache.fetch(put(tmp_path, pack(FILES | {"empty": b"no more"})))
    assert old.digest != new.digest
    assert (old.path / "empty").read_bytes() == b""


@both
@pytest.mark.parametrize("name", ["../out", "a/../../out", ".."])
def test_paths_that_lead_out_are_refused(tmp_path, pack, name):
    assert "outside the folder" in refusal(tmp_path, pack({name: b"x"}))


@both
def test_depth_is_limited(tmp_path, pack):
    unpack("m", folder(tmp_path, {"ok": pack({"a/" * 64 + "x": b""})[1]}) / "ok", tmp_path / "f", 1)
    assert "more than 64 folders" in refusal(tmp_path, pack({"a/" * 65 + "x": b""}))


@both
def test_name_that_no_file_can_have_is_refused_in_words(tmp_path, pack):
    assert refusal(tmp_path, pack({"a" * 300: b""})).endswith("refused: it has a name too long")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_whose_pieces_unpack_to_any_size_are_refused(tmp_path, method):
    packed = zipped({"ok": b"", "big": bytes(1 << 10)}, method=method)
    assert f"'ok' is packed by method {method}, expected deflate" in refusal(tmp_path, packed)


def test_zip_member_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    _, content = zipped({"big": bytes(8 << 20)})
    lie, listed = bytearray(content), content.index(b"PK\1\2")
    lie[22:26] = lie[listed + 24 : listed + 28] = struct.pack("<L", 10)
    assert "damaged" in refusal(tmp_path, ("m", bytes(lie)))


def sparse_tars():
    """A file with holes in each of the ways of GNU tar, cut off where its table would begin."""
    for version, more in {
        "0.0": {"GNU.sparse.size": "0"},
        "0.1": {"GNU.sparse.map": "0,0"},
        "1.0": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    }.items():
        member = tarfile.TarInfo("x")
        member.pax_headers = more
        yield version, member.tobuf(tarfile.PAX_FORMAT)
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # the table goes on
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    yield "old", bytes(header)


@pytest.mark.parametrize("header", [pytest.param(one, id=name) for name, one in sparse_tars()])
def test_sparse_files_are_refused_before_their_tables_are_read(tmp_path, header):
    assert "'x' is sparse" in refusal(tmp_path, ("m", gzip.compress(header)))


def test_zip_archive_with_backslashes_is_refused_in_words(tmp_path):
    packed = zipped({"m\\saved_model.pb": b"x"})
    assert "expected / between folders" in refusal(tmp_path, packed)


def test_folder_of_a_zip_archive_is_known_by_its_mode_too(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        around = zipfile.ZipInfo("m")
        around.external_attr = 0o040755 << 16
        archive.writestr(around, b"")
        archive.writestr("m/x", b"x")
    unpack("m", folder(tmp_path, {"m": content.getvalue()}) / "m", tmp_path / "made", 1 << 20)
    assert (tmp_path / "made" / "x").read_bytes() == b"x"


_DEVICE = "is no plain file or folder"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (tarfile.SYMTYPE, "is a link to '/etc/passwd'; tar packs what it leads to with"),
        (tarfile.LNKTYPE, "is a link to '/etc/passwd'; tar packs what it leads to with"),
        (tarfile.FIFOTYPE, _DEVICE),
    ],
)
def test_links_and_devices_in_tar_archives_are_refused(tmp_path, kind, says):
    packed = tar({"link": b""}, type=kind, linkname="/etc/passwd")
    assert f"'link' {says}" in refusal(tmp_path, packed)


@pytest.mark.parametrize(
    ("mode", "says"),
    [(0o120777, "is a link; zip packs what it leads to without"), (0o020666, _DEVICE)],
)
def test_links_and_devices_in_zip_archives_are_refused(tmp_path, mode, says):
    packed = zipped({"link": b"/etc/passwd"}, mode=mode)
    assert f"'link' {says}" in refusal(tmp_path, packed)


@both
def test_size_is_limited(tmp_path, pack):
    assert "more than 1 MiB" in refusal(tmp_path, pack({"big": bytes((1 << 20) + 1)}))


def test_number_of_files_is_limited(tmp_path):
    _, content = zipped({str(i): b"" for i in range(10_001)}, method=zipfile.ZIP_STORED)
    assert "10,000 files" in refusal(tmp_path, ("m", content))
    header = gzip.decompress(tar({"a/": b""}, type=tarfile.DIRTYPE)[1])[:512]
    content = gzip.compress(header * 10_001)
    assert "10,000 files" in refusal(tmp_path, ("m", content))


def test_zeros_behind_the_files_count(tmp_path):
    name, content = tar(FILES)
    behind = gzip.compress(bytes(70 << 20), 1)
    assert "more than 1 MiB" in refusal(tmp_path, (name, content + behind))


@pytest.mark.parametrize("large", [False, True])
def test_zip_archive_with_a_long_list_of_files_is_refused_before_it_is_read(tmp_path, large):
    _, content = zipped(FILES)
    size = 1 << 30
    if large:
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, size, 0)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(content) - 22, 1)
        packed = content[:-22] + record + locator + content[-22:]
    else:
        packed = content[:-10] + struct.pack("<L", size) + content[-6:]
    assert "its list of files has 1,073,741,824 bytes" in refusal(tmp_path, ("m", packed))


def test_zip_archive_whose_list_swallows_files_is_refused(tmp_path):
    _, content = zipped(FILES)
    first, last = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    length = last - first - 46 - len("model.onnx")
    comment = content[: first + 32] + struct.pack("<H", length) + content[first + 34 :]
    assert "names 1 of its 3 files" in refusal(tmp_path, ("m", comment))


@both
@pytest.mark.parametrize("second", ["./a", "a/b", "b/../a"])
def test_name_that_comes_twice_is_refused(tmp_path, pack, second):
    assert "two files of one name" in refusal(tmp_path, pack({"a": b"x", second: b"y"}))


def test_what_is_no_archive_is_refused(tmp_path):
    assert "expected a zip file or a tar file" in refusal(tmp_path, ("m", b"some text"))


def test_empty_file_is_refused(tmp_path):
    assert "expected a zip file or a tar file" in refusal(tmp_path, ("m", b""))


@both
def test_archive_without_files_is_refused(tmp_path, pack):
    packed = pack({"__MACOSX/a": b""})
    assert "without files" in refusal(tmp_path, packed)


def test_empty_folders_do_not_count(tmp_path):
    assert "without files" in refusal(tmp_path, zipped({"a/": b"", "b/": b""}))
    packed = zipped({"m/x": b"x", "logs/": b""})[1]
    unpack("m", folder(tmp_path, {"m": packed}) / "m", tmp_path / "made", 1 << 20)
    assert (tmp_path / "made" / "x").read_bytes() == b"x"


@both
@given(st.data())
def test_archive_that_was_cut_short_or_changed_is_refused_or_the_same(tmp_path_factory, pack, data):
    _, content = pack(FILES)
    damaged = bytearray(content)
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(content) - 1))]
    else:
        damaged[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged")
    file = folder(path, {"m": bytes(damaged)}) / "m"
    try:
        unpack("m", file, path / "made", 1 << 20)
    except LoadError:
        assert not (path / "made").exists()
    else:  # what changed is no content: a time, a name
        found = sorted(p.read_bytes() for p in (path / "made").rglob("*") if p.is_file())
        assert found == sorted(FILES.values())
