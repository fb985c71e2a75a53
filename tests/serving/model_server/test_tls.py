from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from applications.errors import ConfigError
from serving.model_server.config_files import Tls, read_tls
from serving.model_server.rest.messages import Response
from serving.model_server.tls import server_context
from tests.serving.model_server.rest.conftest import loop, serve  # noqa: F401


class Authority:
    """Signs certificates for tests."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key, is_authority=True)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name: str) -> tuple[str, str]:
        """Returns key and certificate, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        raw = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = self._sign(subject, key, is_authority=False)
        return raw.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("tests")


def tls_of(authority: Authority, *, is_mutual: bool = False) -> Tls:
    key, certificate = authority.issue("localhost")
    return Tls(key=key, certificate=certificate, client_authority=authority.pem, is_client_checked=is_mutual)


def client_context(authority: Authority, tmp_path: Path, identity: tuple[str, str] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem)
    if identity is not None:
        path = tmp_path / "client.pem"
        path.write_text("".join(identity), encoding="ascii")
        context.load_cert_chain(path)
    return context


def hello(request, respond):
    respond(Response(200, b"hello"))


def test_https_answers_who_trusts_the_certificate(serve, authority, tmp_path):  # noqa: F811
    served = serve(hello, tls=server_context(tls_of(authority)))
    assert served.client(client_context(authority, tmp_path)).ask("GET", "/").body == b"hello"
    with pytest.raises(ssl.SSLCertVerificationError):
        served.client(client_context(Authority("another"), tmp_path))


def test_plain_http_on_the_https_port_gets_no_answer(serve, authority):  # noqa: F811
    client = serve(hello, tls=server_context(tls_of(authority))).client()
    with pytest.raises((EOFError, ConnectionResetError)):
        client.ask("GET", "/")


def test_mutual_tls_answers_clients_of_the_authority_alone(serve, authority, tmp_path):  # noqa: F811
    served = serve(hello, tls=server_context(tls_of(authority, is_mutual=True)))
    known = client_context(authority, tmp_path, authority.issue("client"))
    assert served.client(known).ask("GET", "/").body == b"hello"
    for identity in (None, Authority("another").issue("client")):
        with pytest.raises((ssl.SSLError, EOFError, ConnectionResetError)):
            served.client(client_context(authority, tmp_path, identity)).ask("GET", "/")


def test_old_versions_of_tls_are_refused(authority):
    assert server_context(tls_of(authority)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_key_and_certificate_must_belong_together(authority):
    one, other = tls_of(authority), tls_of(authority)
    with pytest.raises(ConfigError, match="must be PEM texts that belong together"):
        server_context(Tls(key=one.key, certificate=other.certificate))


def test_the_key_is_on_no_disk_afterwards(authority, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server_context(tls_of(authority))
    assert list(tmp_path.iterdir()) == []


def test_an_ssl_config_file_describes_it(authority, tmp_path):
    tls = tls_of(authority)
    path = tmp_path / "ssl.txt"
    lines = [f"server_key: {tls.key!r}", f"server_cert: {tls.certificate!r}", f"custom_ca: {authority.pem!r}"]
    path.write_text("\n".join([*lines, "client_verify: true"]), encoding="ascii")
    assert server_context(read_tls(path)).verify_mode is ssl.CERT_REQUIRED
