"""Tokens, keys and certificates of a control plane, made once and kept for its life."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gke_notebook.sandbox import kubeconfig
from gke_notebook.sandbox.certificates import Certificates
from gke_notebook.sandbox.controlplane.layout import Layout
from gke_notebook.sandbox.home import read_or_make_token, write_private

MASTERS = "system:masters"
_LIFETIME = datetime.timedelta(days=365)
_RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Person:
    """Who a token belongs to.

    Args:
        token: the bearer token.
        name: the user's name.
        groups: the user's groups.
    """

    token: str = field(repr=False)
    name: str
    groups: tuple[str, ...] = ()


# Each component has the name that RBAC's own bindings know
# (Kubernetes documentation, "Using RBAC Authorization", core component roles, 2026). The controller manager's own role
# is small, since its controllers have service accounts elsewhere; here they are all this one user.
COMPONENTS = {
    "kube-controller-manager": ("system:kube-controller-manager", (MASTERS,)),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "jobset": ("system:serviceaccount:jobset-system:jobset-controller-manager", (MASTERS,)),
    "kueue": ("system:serviceaccount:kueue-system:kueue-controller-manager", (MASTERS,)),
}


def token_file(people: Sequence[Person]) -> str:
    """Give the text of kube-apiserver's ``--token-auth-file``: token, user, uid, groups.

    Args:
        people: who may come.

    Example:
        >>> token_file([Person("t", "ada", ("dev", "ops"))])
        't,ada,ada,"dev,ops"\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for person in people:
        writer.writerow([person.token, person.name, person.name, *([",".join(person.groups)] if person.groups else [])])
    return text.getvalue()


def write_tokens(layout: Layout, people: Sequence[Person], server: str, authority: str) -> None:
    """Write the file of tokens, and a kubeconfig for each component; mode 0600.

    Args:
        layout: where.
        people: who may come besides the components.
        server: the API server's URL.
        authority: the PEM text of the authority to trust.
    """
    own = []
    for component, (name, groups) in COMPONENTS.items():
        token = read_or_make_token(layout.tls / f"{component}.token")
        own.append(Person(token, name, groups))
        write_private(layout.kubeconfig(component), kubeconfig.render(server, authority, token))
    write_private(layout.tokens, token_file([*people, *own]))


@dataclass(frozen=True)
class Keys:
    """Paths of PEM files that only a real control plane needs.

    Args:
        accounts_key: the private key that signs service account tokens.
        accounts_public: its public key.
        client_authority: the authority whose client certificates etcd and the kubelets accept.
        client_certificate: the client certificate that the API server presents to them.
        client_key: its private key.
        webhooks: a directory with `tls.crt` and `tls.key`, the server's certificate once more.
    """

    accounts_key: Path
    accounts_public: Path
    client_authority: Path
    client_certificate: Path
    client_key: Path
    webhooks: Path


def ensure_keys(layout: Layout, server: Certificates) -> Keys:
    """Give the keys; make them when they are missing or end within 30 days.

    Args:
        layout: where.
        server: the certificate that everything on loopback serves with.
    """
    tls = layout.tls
    keys = Keys(
        tls / "accounts-key.pem", tls / "accounts.pem", tls / "client-ca.pem", tls / "client.pem",
        tls / "client-key.pem", tls / "webhooks",
    )  # fmt: skip
    keys.webhooks.mkdir(exist_ok=True, mode=0o700)
    write_private(keys.webhooks / "tls.crt", server.certificate.read_text())
    write_private(keys.webhooks / "tls.key", server.key.read_text())
    if not (keys.accounts_key.exists() and keys.accounts_public.exists()):
        _make_account_keys(keys)
    if not _lasts(tls / "client-expires"):
        _make_client(keys)
        write_private(tls / "client-expires", (_now() + _LIFETIME).isoformat())
    return keys


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _lasts(marker: Path) -> bool:
    try:
        return datetime.datetime.fromisoformat(marker.read_text().strip()) - _now() > _RENEW_BEFORE
    except (OSError, ValueError):
        return False


def _make_account_keys(keys: Keys) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(keys.accounts_public, public.decode())
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(keys.accounts_key, private.decode())


def _make_client(keys: Keys) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gke-notebook sandbox client CA")])
    authority_key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_now() - datetime.timedelta(minutes=5))
            .not_valid_after(_now() + _LIFETIME)
        )

    usage = {
        "digital_signature": True, "key_cert_sign": True, "crl_sign": True, "content_commitment": False,
        "key_encipherment": False, "data_encipherment": False, "key_agreement": False, "encipher_only": False,
        "decipher_only": False,
    }  # fmt: skip
    authority = (
        builder(issuer, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    certificate = (
        builder(subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(keys.client_authority, authority.public_bytes(pem).decode())
    write_private(keys.client_certificate, certificate.public_bytes(pem).decode())
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(keys.client_key, private.decode())
