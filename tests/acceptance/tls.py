"""TLS in front of servers without it, like a managed PostgreSQL or Redis."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Message of a PostgreSQL client before TLS begins, and the answer of a server that supports it.
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_YES = b"S"
_CHUNK = 65536
_HEAD_END = b"\r\n\r\n"
# Function that passes the first bytes from the client inside TLS to the server.
Begin = Callable[[ssl.SSLSocket, socket.socket], None]


@dataclass(frozen=True, slots=True)
class Certificates:
    """Authority, and a certificate for 127.0.0.1 that it has signed."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate signed by it, valid for a day."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Test authority", authority_key, issuer="Test authority", signer=authority_key)
    certificate = _certificate("127.0.0.1", key, issuer="Test authority", signer=authority_key)
    made = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    made.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, *, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=key is signer, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if key is signer:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    else:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


@contextmanager
def https_before(port: int, certificates: Certificates) -> Iterator[int]:
    """Run a port that terminates TLS in front of a web server, one request per connection, and forwards the scheme."""

    def serve(inside: ssl.SSLSocket, server: socket.socket) -> None:
        head = b""
        while _HEAD_END not in head and (data := inside.recv(_CHUNK)):
            head += data
        begin, *lines = head.split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith((b"x-forwarded-proto:", b"connection:"))]
        server.sendall(b"\r\n".join([begin, b"X-Forwarded-Proto: https", b"Connection: close", *kept]))

    with tls_before(port, certificates, begin=serve) as own_port:
        yield own_port


@contextmanager
def tls_before(
    port: int, certificates: Certificates, *, speaks_postgresql: bool = False, begin: Begin | None = None
) -> Iterator[int]:
    """Run a port that accepts TLS only and passes the data on to ``port``, after the bytes of ``begin``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, context, port, speaks_postgresql, begin), daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        # Closing alone would leave the thread in accept().
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(
    listener: socket.socket, context: ssl.SSLContext, port: int, speaks_postgresql: bool, begin: Begin | None
) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            arguments = (client, context, port, speaks_postgresql, begin)
            threading.Thread(target=_serve, args=arguments, daemon=True).start()


def _serve(
    client: socket.socket, context: ssl.SSLContext, port: int, speaks_postgresql: bool, begin: Begin | None
) -> None:
    with client, suppress(OSError):
        if speaks_postgresql:
            if client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
                return
            client.sendall(_YES)
        with (
            context.wrap_socket(client, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            if begin is not None:
                begin(inside, server)
            back = threading.Thread(target=_pass, args=(server, inside), daemon=True)
            back.start()
            _pass(inside, server)
            back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
