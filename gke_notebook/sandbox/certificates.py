"""The sandbox's certificate authority and its one server certificate, for loopback names only."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from gke_notebook.sandbox.home import write_private

_LIFETIME = datetime.timedelta(days=365)
_RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Certificates:
    """Paths of the PEM files.

    Args:
        authority: the certificate that clients trust.
        certificate: the server's certificate.
        key: its private key, mode 0600.
    """

    authority: Path
    certificate: Path
    key: Path


def ensure(directory: Path) -> Certificates:
    """Give the certificates in a directory; make them when they are missing or end within 30 days.

    Args:
        directory: where the PEM files are.
    """
    found = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server-key.pem")
    marker = directory / "expires"  # read in place of the certificate: importing the parser costs 50 ms at each start
    if marker.exists() and all(path.exists() for path in (found.authority, found.certificate, found.key)):
        expires = datetime.datetime.fromisoformat(marker.read_text().strip())
        if expires - datetime.datetime.now(datetime.timezone.utc) > _RENEW_BEFORE:
            return found
    _make(found)
    write_private(marker, (datetime.datetime.now(datetime.timezone.utc) + _LIFETIME).isoformat())
    return found


def _make(paths: Certificates) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.timezone.utc)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("gke-notebook sandbox CA"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + _LIFETIME)
        )

    authority_key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        builder("gke-notebook sandbox CA", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )  # fmt: skip
    server_key = ec.generate_private_key(ec.SECP256R1())
    loopback = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    server = (
        builder("127.0.0.1", server_key)
        .add_extension(x509.SubjectAlternativeName([*loopback, x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(paths.authority, authority.public_bytes(pem).decode())
    write_private(paths.certificate, server.public_bytes(pem).decode())
    write_private(
        paths.key,
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
    )
    # The authority's key is not kept: nothing else is ever signed by it.
