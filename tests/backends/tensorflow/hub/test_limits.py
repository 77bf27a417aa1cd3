"""Hubs that send too much, for too long, or lead elsewhere, and addresses that carry secrets."""

import datetime
import gzip
import io
import ipaddress
import ssl
import tarfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.backends.tensorflow.hub.resolver import module_folder
from pipeline.backends.tensorflow.hub.response import Patience
from pipeline.errors import ArtifactError, EnsembleError, LoadError
from tests.support.hub_server import Answer, Hub, archive

PATH = "/google/affine/1"
MIB = 1 << 20
SECRET = "s3cr3t"
OTHER_WAY = "download it in another way, and give its folder as `uri`"


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.close()


@pytest.fixture
def secure_hub(tmp_path, monkeypatch):
    """A hub that speaks https, with a certificate that nobody else knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + made.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "pem").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "pem")
    server = Hub(tls)
    yield server
    server.close()


def refusal(url, error=LoadError, most_bytes=MIB, silence_secs=20.0, module_secs=20.0):
    with pytest.raises(EnsembleError) as caught:
        module_folder(url, Patience(silence_secs, (), module_secs), most_bytes)
    assert type(caught.value) is error, caught.value
    return str(caught.value)


def redirect(where, status=302):
    return Answer(b"", status=status, headers={"Location": where})


# --- where it leads


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "FILE:/etc/passwd", "x-y:z"]
)
def test_redirect_to_another_scheme_is_refused_with_the_way_out(hub, where, status):
    url = hub.put(PATH, redirect(where, status))
    scheme = where.partition(":")[0].lower()
    expected = f"{url}: the hub redirects to {scheme}:, expected http: or https:; {OTHER_WAY}"
    assert refusal(url, ArtifactError) == expected


def test_redirect_from_https_to_http_is_refused_and_the_other_way_followed(hub, secure_hub, packed):
    plain = hub.put("/storage/1.tar.gz", packed)
    url = secure_hub.put(PATH, redirect(plain))
    assert f"{url}: the hub redirects from https: to http:" in refusal(url, ArtifactError)
    assert not hub.requests
    secure = secure_hub.put("/storage/2.tar.gz", packed)
    assert module_folder(secure_hub.put("/to/https", redirect(secure)))
    assert module_folder(hub.put("/to/https", redirect(secure)))


def test_redirects_in_a_circle_end(hub):
    url = hub.put("/round.tar.gz", redirect("/round.tar.gz"))
    assert f"{url}: the hub redirects more than 10 times; {OTHER_WAY}" == refusal(
        url, ArtifactError
    )


def test_body_of_a_redirect_is_not_read(hub, packed):
    stored = hub.put("/storage/1.tar.gz", packed)

    def endless(file, ended):
        file.write(f"HTTP/1.1 302 Found\r\nLocation: {stored}\r\n\r\n".encode())
        while not ended.is_set():
            file.write(bytes(MIB))

    assert module_folder(hub.put(PATH, Answer(raw=endless)))


# --- how much


def test_archive_that_announces_too_much_is_not_read(hub):
    url = hub.put(PATH, Answer(b"", length=3 * MIB))
    expected = f"{url}: its archive has more than 2 MiB; a larger --max_hub_model_mb takes it"
    assert refusal(url, most_bytes=2 * MIB) == expected


def test_archive_that_announces_nothing_is_read_up_to_the_limit(hub):
    noise = archive(None, mode="w", big=bytes(3 * MIB))
    url = hub.put(PATH, Answer(noise, length=-1))
    assert "its archive unpacks to more than 2 MiB;" in refusal(url, most_bytes=2 * MIB)

    def endless(file, ended):
        file.write(b"HTTP/1.1 200 OK\r\n\r\n" + gzip.compress(b"")[:10])
        while not ended.is_set():
            file.write(b"\0\0\0\xff\xff" * MIB)  # blocks of nothing

    url = hub.put("/endless/1", Answer(raw=endless))
    assert "its archive has more than 4 MiB;" in refusal(url, most_bytes=4 * MIB)


def tar_of(*members, pax=None):
    """An archive whose members are TarInfos; their content is zeros."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, pax_headers=pax) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def member(name, size=0):
    found = tarfile.TarInfo(name)
    found.size = size
    return found


def sparse(size):
    """A member that says it has a size and brings nothing of it (old GNU format)."""
    block = bytearray(member("sparse").tobuf(tarfile.GNU_FORMAT))
    block[156:157] = tarfile.GNUTYPE_SPARSE
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tar_of(member("big", 3 * MIB)), "its archive unpacks to more than 2 MiB"),
        (tar_of(*(member(f"f{i}", MIB) for i in range(3))), "unpacks to more than 2 MiB"),
        (tar_of(*(member(f"f{i}") for i in range(10_001))), "it has more than 10,000 files"),
        (tar_of(member("n" * (200 << 10))), "it has a name of 204,801 bytes"),
        (sparse(1 << 32), "'sparse' is sparse; pack it without --sparse"),
        (sparse(1000), "'sparse' is sparse; pack it without --sparse"),
    ],
    ids=["one file", "together", "many", "name", "sparse", "small sparse"],
)
def test_small_archive_that_unpacks_to_much_is_refused_and_leaves_nothing(
    hub, kept, content, expected
):
    bomb = gzip.compress(content)
    assert len(bomb) < MIB
    assert expected in refusal(hub.put(PATH, bomb), most_bytes=2 * MIB)
    assert not [path for path in kept.rglob("*") if path.is_file()]


# --- how long


def drip(before, one):
    """Sends `before`, then `one` again and again, each soon enough to be no silence."""

    def send(file, ended):
        file.write(before)
        while not ended.wait(0.05):
            file.write(one)
            file.flush()

    return Answer(raw=send)


@pytest.mark.parametrize(
    ("before", "one"),
    [
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"\x1f"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["status", "continue", "header", "body", "chunks", "length", "trailers"],
)
def test_hub_that_drips_is_given_up_at_the_limit(hub, before, one):
    url = hub.put(PATH, drip(before, one))
    reason = refusal(url, ArtifactError, module_secs=0.5)
    assert reason.startswith(f"{url} is not here after 0.5 s")
    assert reason.endswith(OTHER_WAY)


def test_limit_holds_for_all_attempts_together(hub):
    url = hub.put(PATH, drip(b"HTTP/1.1 200 OK\r\n\r\n", b"\x1f"))
    with pytest.raises(ArtifactError, match=r"is not here after 0\.5 s"):
        module_folder(url, Patience(20.0, (0.0,) * 1000, 0.5))
    assert hub.requests == {PATH: 1}


# --- secrets in addresses


@pytest.mark.parametrize("form", ["http://user:{}@{}", "http://{}@{}"])
def test_address_with_a_user_is_not_asked_and_not_repeated(hub, form):
    place = hub.put(PATH, b"").removeprefix("http://")
    reason = refusal(form.format(SECRET, place), ArtifactError)
    expected = f"http://{place}: an address with a user or a password is not asked; {OTHER_WAY}"
    assert reason == expected
    assert not hub.requests


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=404),
        Answer(status=403),
        Answer(status=500),
        Answer(status=418),
        Answer(b"<html>"),
        Answer(b"", length=9),
        Answer(b"", length=1 << 40),
        redirect(f"ftp://{SECRET}@host/?{SECRET}"),
        redirect(f"http://[{SECRET}"),
        redirect(f"http://a:{SECRET}@127.0.0.1:1/"),
        redirect(f"http://127.0.0.1:1/x?key={SECRET}"),
        redirect(f"http://127.0.0.1:x{SECRET}/"),
        drip(b"", b"H"),
    ],
)
def test_secret_in_a_query_is_in_no_refusal_nor_its_causes(hub, kept, answer, caplog):
    url = hub.put(PATH, answer) + f"?token={SECRET}"
    with pytest.raises(EnsembleError) as caught:
        module_folder(url, Patience(5.0, (), 0.5), MIB)
    error, texts = caught.value, []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "?..." in texts[0]
    assert SECRET not in " ".join([*texts, caplog.text])


def test_secret_in_a_query_is_sent_to_the_hub_and_kept_out_of_the_cache(hub, kept, packed, caplog):
    caplog.set_level(0)
    asked = []
    answer_to = hub.answer_to
    hub.answer_to = lambda request: (asked.append(request.path), answer_to(request))
    module_folder(hub.put(PATH, packed) + f"?token={SECRET}")
    assert f"token={SECRET}" in asked[0]
    assert SECRET not in caplog.text
    assert not [p for p in kept.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    "url", ["http://", "http://[", "http://h:x/", "http://h\n/x", "http://h/é"]
)
def test_address_that_is_none_is_an_error_of_the_project_in_one_line(url):
    with pytest.raises(ArtifactError) as caught:
        module_folder(url, Patience(1.0, (), 1.0))
    assert str(caught.value).isprintable()
