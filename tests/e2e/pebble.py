# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that speaks ACME (pebble), and the name server that leads it to this machine."""

import json
import os
import ssl
import tempfile
import urllib.request

from certificates import authority, certificate
from harness import HOST, Service, free_port, need

EAB_KEY_ID, EAB_KEY = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
LIFETIME_S = 90 * 86400


class Pebble:
    """`validate_port` is where it asks for challenges, whatever the name. Starts at once unless `start` is false."""

    def __init__(self, test, validate_port, env=None, start=True, is_external_account_required=False):
        self.test, self.env, self.service = test, {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", **(env or {})}, None
        self.port, self.management_port, dns_port, dns_management_port = free_port(), free_port(), free_port(), free_port()
        folder = tempfile.TemporaryDirectory(prefix="moongate-pebble-")
        test.addCleanup(folder.cleanup)
        own = certificate("pebble", names=("IP:" + HOST,))
        self.dns = f"{HOST}:{dns_port}"
        config = {"listenAddress": f"{HOST}:{self.port}", "managementListenAddress": f"{HOST}:{self.management_port}",
                  "certificate": own.cert_path, "privateKey": own.key_path, "httpPort": validate_port, "tlsPort": 1, "ocspResponderURL": "",
                  "certificateValidityPeriod": LIFETIME_S, "externalAccountBindingRequired": is_external_account_required}
        if is_external_account_required:
            config["externalAccountMACKeys"] = {EAB_KEY_ID: EAB_KEY}
        self.config_path = os.path.join(folder.name, "pebble.json")
        with open(self.config_path, "w") as f:
            json.dump({"pebble": config}, f)
        names = Service([need("pebble-challtestsrv"), "-defaultIPv4", HOST, "-defaultIPv6", "", "-dns01", self.dns, "-http01", "",
                         "-https01", "", "-tlsalpn01", "", "-management", f"{HOST}:{dns_management_port}"], dns_management_port)
        test.addCleanup(names.close)
        test.addCleanup(self.stop)
        if start:
            self.start()

    def start(self):
        variables = [f"{name}={value}" for name, value in self.env.items()]
        self.service = Service([need("env"), *variables, need("pebble"), "-config", self.config_path, "-dnsserver", self.dns], self.port)

    def stop(self):
        if self.service:
            self.service.close()
        self.service = None

    def log(self):
        with open(self.service.log) as f:
            return f.read()

    def settings(self, **more):
        """For `moongate.acme`."""
        return {"directory": f"https://{HOST}:{self.port}/dir", "contact": ["mailto:ops@example.org"], "agree_to_terms": True,
                "trusted_certificate": authority().cert_path, **more}

    def trusting(self):
        """A client's context that trusts what it issues."""
        with urllib.request.urlopen(f"https://{HOST}:{self.management_port}/roots/0", timeout=30,
                                    context=ssl.create_default_context(cafile=authority().cert_path)) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())
