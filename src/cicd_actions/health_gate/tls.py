"""TLS contexts, and what a failed handshake means. Imported for https only."""

from __future__ import annotations

import os
import ssl

from cicd_actions.health_gate.observation import Trouble, unjudged
from cicd_actions.health_gate.targets import Trust
from cicd_actions.toolkit.errors import UnusableInput

# Where systems keep their certificates (as in Go's crypto/x509), for a Python whose OpenSSL was built for another place.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

# OpenSSL's X509_V_ERR_…: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_EXPIRED = 10
_NOT_YET_VALID = 9
_MISMATCHES = {62, 63, 64}


def context(trust: Trust) -> ssl.SSLContext:
    """Returns a client's context with the system's trust store. Raises `UnusableInput`.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` count.
    """
    made = ssl.create_default_context()
    # Python 3.13 turned on a stricter check that refuses many company CAs; the gate must judge alike on every Python.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if not named and not made.cert_store_stats()["x509_ca"]:
        for bundle in filter(os.path.exists, _BUNDLES):
            made.load_verify_locations(cafile=bundle)
            break
    if trust.ca_file:
        _load(made, trust.ca_file)
    if trust.client_cert:
        _present(made, trust)
    if not trust.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made


def _load(made: ssl.SSLContext, path: str) -> None:
    try:
        made.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise UnusableInput(
            f"Cannot use the file {path} of the input `ca-file`: {_said(error)}.",
            cause="The gate needs one or more certificates in PEM form (-----BEGIN CERTIFICATE-----).",
        ) from None


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        # OpenSSL says "no certificate or crl found" in one version, and only where in its code it stopped in another.
        return "it contains no certificate in PEM form" if "NO_" in (error.reason or "") else _words(error.reason or "PEM lib")
    return error.strerror or "the gate cannot read it"


def _present(made: ssl.SSLContext, trust: Trust) -> None:
    def no_password() -> str:
        raise UnusableInput(
            f"Cannot use the key {trust.client_key or trust.client_cert}: it has a passphrase, and the gate cannot type one.",
            fix="Give it a key without a passphrase (openssl pkey -in key.pem -out plain.pem).",
        )

    try:
        made.load_cert_chain(trust.client_cert, trust.client_key or None, password=no_password)
    except OSError as error:  # ssl.SSLError is one
        raise UnusableInput(
            f"Cannot use the file {trust.client_cert} of the key `client-cert`: {_said(error)}.",
            cause="The gate needs a certificate in PEM form, and its key in the same file or in `client-key`.",
        ) from None


def trouble(error: ssl.SSLError, host: str) -> Trouble:
    """Returns what a failed handshake, or a refusal after it, means. `host` is the name that was checked."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, host)
    reason = error.reason or ""
    if "CERTIFICATE_REQUIRED" in reason or "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason:
        said = "asks for a client certificate" if "REQUIRED" in reason else "does not accept the client certificate"
        return unjudged("client-certificate", "TLS", f"the server {said} ({_words(reason)})")
    if "HANDSHAKE_FAILURE" in reason:
        return unjudged(
            "tls-trust",
            "TLS",
            f"the server ended the handshake ({_words(reason)}): it needs a client certificate or other ciphers",
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or "EOF" in reason:
        return Trouble("closed", "closed", "the server closed the connection during the TLS handshake")
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}:
        return Trouble("garbage", "no TLS", f"the server does not speak TLS on this port ({_words(reason)})")
    return Trouble("tls", "TLS", f"TLS failed: {_words(reason) or 'no reason given'}")


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> Trouble:
    said = error.verify_message
    if error.verify_code == _EXPIRED:
        return Trouble("certificate-expired", "expired", f"the certificate of {host} has expired", permanent=True)
    if error.verify_code in _MISMATCHES:
        return Trouble("certificate-name", "name", f"the certificate is not for {host}: {said}", permanent=True)
    if error.verify_code == _NOT_YET_VALID:
        return Trouble(
            "certificate-early", "early", f"the certificate of {host} is not valid yet, or this machine's clock is slow"
        )
    return unjudged("tls-trust", "trust", f"this machine does not trust the certificate of {host}: {said}")


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
