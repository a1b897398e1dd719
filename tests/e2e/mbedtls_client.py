# SPDX-License-Identifier: Apache-2.0
"""A client of mbedTLS, which sends what other libraries refuse to: records with nothing in them."""

import ctypes
import ctypes.util
import socket

from wire import HOST

STRUCT_BYTES = 1 << 18  # more than any of the library's


class MbedtlsClient:
    """One connection whose server's certificate nobody looks at."""

    def __init__(self, port, name="a.test", timeout=50):
        self.sock = socket.create_connection((HOST, port), timeout)
        self.sock.setblocking(True)
        self.tls, crypto = (ctypes.CDLL(ctypes.util.find_library(library)) for library in ("mbedtls", "mbedcrypto"))
        self.connection, self.config, entropy, random = self.kept = [ctypes.create_string_buffer(STRUCT_BYTES) for _ in range(4)]
        self.number = ctypes.c_int(self.sock.fileno())
        self.tls.mbedtls_ssl_init(self.connection)
        self.tls.mbedtls_ssl_config_init(self.config)
        crypto.mbedtls_entropy_init(entropy)
        crypto.mbedtls_ctr_drbg_init(random)
        self.check(crypto.mbedtls_ctr_drbg_seed(random, crypto.mbedtls_entropy_func, entropy, None, 0))
        self.check(self.tls.mbedtls_ssl_config_defaults(self.config, 0, 0, 0))
        self.tls.mbedtls_ssl_conf_authmode(self.config, 0)
        self.tls.mbedtls_ssl_conf_rng(self.config, crypto.mbedtls_ctr_drbg_random, random)
        self.check(self.tls.mbedtls_ssl_setup(self.connection, self.config))
        self.check(self.tls.mbedtls_ssl_set_hostname(self.connection, name.encode()))
        self.tls.mbedtls_ssl_set_bio(self.connection, ctypes.byref(self.number), self.tls.mbedtls_net_send, self.tls.mbedtls_net_recv, None)
        self.check(self.tls.mbedtls_ssl_handshake(self.connection))

    @staticmethod
    def check(result):
        if result < 0:
            raise OSError(f"mbedTLS says -0x{-result:04x}")
        return result

    def send(self, data):
        self.check(self.tls.mbedtls_ssl_write(self.connection, data, ctypes.c_size_t(len(data))))

    def receive(self):
        buffer = ctypes.create_string_buffer(16384)
        size = self.check(self.tls.mbedtls_ssl_read(self.connection, buffer, ctypes.c_size_t(len(buffer))))
        return buffer.raw[:size]

    def close(self):
        self.tls.mbedtls_ssl_free(self.connection)
        self.sock.close()
