# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl program when they are first needed."""

import base64
import functools
import hashlib
import os
import subprocess
import tempfile

from harness import need

_folder = tempfile.TemporaryDirectory(prefix="moongate-certificates-")


class Certificate:
    """Certificate and key in PEM form, as texts and as files."""

    def __init__(self, name):
        self.cert_path, self.key_path = os.path.join(_folder.name, name + ".crt"), os.path.join(_folder.name, name + ".key")

    @property
    def cert(self):
        with open(self.cert_path) as f:
            return f.read()

    @property
    def key(self):
        with open(self.key_path) as f:
            return f.read()

    @property
    def key_pin(self):
        """The digest of the public key, as browsers take it."""
        public = subprocess.run([need("openssl"), "pkey", "-in", self.key_path, "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        return base64.b64encode(hashlib.sha256(public).digest()).decode()


def _openssl(*arguments):
    subprocess.run([need("openssl"), *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def authority(name="authority"):
    """A CA of its own for each name."""
    return _authority(name)


@functools.lru_cache(maxsize=None)
def _authority(name):
    made = Certificate("ca-" + name)
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
             f"/O=moongate tests/CN={name}", "-keyout", made.key_path, "-out", made.cert_path)
    return made


@functools.lru_cache(maxsize=None)
def certificate(common_name, names=(), issuer="authority", kind="ec", serial=1, days=30, extensions=()):
    """A certificate for `names` ("IP:..." or hosts; the common name when there are none), issued by authority(issuer).
    `extensions` are lines of openssl's configuration; give such a certificate a serial of its own."""
    made, ca = Certificate(f"{common_name}-{issuer}-{kind}-{serial}-{days}-{hash(names)}".replace("*", "any")), authority(issuer)
    request, extension_path = made.cert_path + ".csr", made.cert_path + ".ext"
    key = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    _openssl("req", "-newkey", *key, "-nodes", "-subj", f"/CN={common_name}", "-keyout", made.key_path, "-out", request)
    with open(extension_path, "w") as f:
        names_line = "subjectAltName=" + ",".join(n if n.startswith("IP:") else "DNS:" + n for n in names or (common_name,))
        f.write("\n".join([names_line, *extensions]) + "\n")
    _openssl("x509", "-req", "-in", request, "-CA", ca.cert_path, "-CAkey", ca.key_path, "-set_serial", str(serial), "-days", str(days),
             "-extfile", extension_path, "-out", made.cert_path)
    return made
