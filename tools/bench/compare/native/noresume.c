/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into wrk for the handshake workload: wrk clears and reuses its SSL
 * objects, which OpenSSL then resumes the old session with.  Dropping the
 * session at that moment makes every handshake a full one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

int SSL_clear(void *ssl)
{
    static int (*clear)(void *);
    static int (*set_session)(void *, void *);
    if (!clear) {
        clear = (int (*)(void *))dlsym(RTLD_NEXT, "SSL_clear");
        set_session = (int (*)(void *, void *))dlsym(RTLD_NEXT, "SSL_set_session");
    }
    int ok = clear(ssl);
    set_session(ssl, NULL);
    return ok;
}
