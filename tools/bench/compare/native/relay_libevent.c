/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same relay on libevent, to see what the library costs above the floor.
 *   bev   bufferevents; input is moved to the other side's output
 *   raw   persistent edge-triggered read events, own recv and send
 *
 * usage: relay_libevent bev|raw HOST PORT UPSTREAM_HOST UPSTREAM_PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct event_base *base;
static struct sockaddr_in upstream;
static char buf[65536];

static void nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* ---- bufferevents */

static void bev_read(struct bufferevent *b, void *other)
{
    bufferevent_write_buffer(other, bufferevent_get_input(b));
}

static void bev_drained(struct bufferevent *b, void *other)
{
    (void)other;
    bufferevent_free(b);
}

static void bev_event(struct bufferevent *b, short what, void *other)
{
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    bufferevent_free(b);
    struct bufferevent *o = other;
    if (evbuffer_get_length(bufferevent_get_output(o))) {
        bufferevent_disable(o, EV_READ);
        bufferevent_setcb(o, NULL, bev_drained, NULL, NULL);
    } else {
        bufferevent_free(o);
    }
}

static void bev_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
                       void *x)
{
    (void)l, (void)a, (void)n, (void)x;
    struct bufferevent *c = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    struct bufferevent *u = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    nodelay(fd);
    bufferevent_setcb(c, bev_read, NULL, bev_event, u);
    bufferevent_setcb(u, bev_read, NULL, bev_event, c);
    bufferevent_socket_connect(u, (struct sockaddr *)&upstream, sizeof upstream);
    nodelay(bufferevent_getfd(u));
    bufferevent_enable(c, EV_READ | EV_WRITE);
    bufferevent_enable(u, EV_READ | EV_WRITE);
}

/* ---- raw events */

struct end {
    int fd;
    struct event *rd, *wr;
    struct end *peer;
    char *held;             /* not yet written to fd */
    size_t off, len;
};

static void end_pair(struct end *x)
{
    struct end *p[2] = {x, x->peer};
    for (int i = 0; i < 2; i++) {
        event_free(p[i]->rd);
        event_free(p[i]->wr);
        close(p[i]->fd);
        free(p[i]->held);
        free(p[i]);
    }
}

static void raw_read(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct end *x = arg, *o = x->peer;
    while (!o->held) {
        ssize_t r = recv(fd, buf, sizeof buf, 0);
        if (r < 0 && errno == EAGAIN)
            return;
        if (r <= 0) {
            end_pair(x);
            return;
        }
        ssize_t w = send(o->fd, buf, r, MSG_NOSIGNAL);
        if (w < 0 && errno != EAGAIN && errno != ENOTCONN) {
            end_pair(x);
            return;
        }
        if (w < 0)
            w = 0;
        if (w < r) {
            o->len = r - w;
            o->off = 0;
            o->held = malloc(o->len);
            memcpy(o->held, buf + w, o->len);
            event_add(o->wr, NULL);
            return;
        }
        if (r < (ssize_t)sizeof buf)
            return;
    }
}

static void raw_write(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct end *x = arg;
    ssize_t w = send(fd, x->held + x->off, x->len, MSG_NOSIGNAL);
    if (w < 0 && errno != EAGAIN) {
        end_pair(x);
        return;
    }
    x->off += w > 0 ? w : 0;
    x->len -= w > 0 ? w : 0;
    if (x->len) {
        event_add(x->wr, NULL);
        return;
    }
    free(x->held);
    x->held = NULL;
    raw_read(x->peer->fd, EV_READ, x->peer);
}

static void raw_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
                       void *arg)
{
    (void)l, (void)a, (void)n, (void)arg;
    int uf = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (uf < 0 || (connect(uf, (struct sockaddr *)&upstream, sizeof upstream) &&
                   errno != EINPROGRESS)) {
        close(fd);
        if (uf >= 0)
            close(uf);
        return;
    }
    struct end *x[2];
    for (int i = 0; i < 2; i++) {
        x[i] = calloc(1, sizeof **x);
        x[i]->fd = i ? uf : fd;
        nodelay(x[i]->fd);
        x[i]->rd = event_new(base, x[i]->fd, EV_READ | EV_ET | EV_PERSIST, raw_read, x[i]);
        x[i]->wr = event_new(base, x[i]->fd, EV_WRITE | EV_ET, raw_write, x[i]);
    }
    for (int i = 0; i < 2; i++) {
        x[i]->peer = x[!i];
        event_add(x[i]->rd, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: %s bev|raw HOST PORT UPSTREAM_HOST UPSTREAM_PORT\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct event_config *cfg = event_config_new();
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(cfg);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    upstream = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[5]))};
    inet_pton(AF_INET, argv[2], &a.sin_addr);
    inet_pton(AF_INET, argv[4], &upstream.sin_addr);
    if (!evconnlistener_new_bind(base, strcmp(argv[1], "bev") ? raw_accept : bev_accept, NULL,
                                 LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE, 4096,
                                 (struct sockaddr *)&a, sizeof a)) {
        perror("listen");
        return 1;
    }
    return event_base_dispatch(base) < 0;
}
