"""An authority of this org's own, and its certificate for Salesforce's hosts, both made when first used.

For clients that have login.salesforce.com written into them: they come through CONNECT (see `web`) and trust `pem`.
"""

import re
import ssl
import tempfile
from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .clock import Clock

DOMAIN = "salesforce.com"
MY_DOMAIN = f"local-org.my.{DOMAIN}"
_HOSTS = (f"*.{DOMAIN}", f"*.my.{DOMAIN}")
_OURS = re.compile(rf"([\w-]+\.)+{re.escape(DOMAIN)}(:443)?\Z", re.IGNORECASE)
_VALID = timedelta(days=30)


def is_salesforce(host: str) -> bool:
    """Whether a host, perhaps with the port of https, is one that the org stands in for."""
    return bool(_OURS.match(host))


class Authority:
    """What clients are asked to trust, and what the org shows them."""

    @cached_property
    def _made(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Local Salesforce org, made-up authority")
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        builder = _builder(name, name, key.public_key(), key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.add_extension(usage, critical=True).sign(key, SHA256()), key

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self._made[0].public_bytes(Encoding.PEM).decode()

    @cached_property
    def context(self) -> ssl.SSLContext:
        """For the server's side of a tunnel."""
        authority, authority_key = self._made
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(_HOSTS[0]), authority.subject, key.public_key(), authority_key.public_key())
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(_dns(_HOSTS)), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(authority_key, SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:  # ssl reads keys from files only
            file = Path(folder) / "server.pem"
            file.write_bytes(
                key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                + certificate.public_bytes(Encoding.PEM)
            )
            context.load_cert_chain(file)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _dns(hosts: Iterable[str]) -> list[x509.GeneralName]:
    return [x509.DNSName(host) for host in hosts]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = Clock().now()  # real time, whatever the org's is: clients check by theirs
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
