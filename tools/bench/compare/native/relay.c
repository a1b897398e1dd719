/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: a TCP relay with no notion of HTTP.  One thread, edge-triggered
 * epoll, one upstream connection for each client connection, recv and send
 * only.  A request and its response through it cost four data syscalls and a
 * share of one epoll_wait; a user-space proxy on plain sockets cannot do with
 * less.
 *
 * usage: relay HOST PORT UPSTREAM_HOST UPSTREAM_PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUF = 65536, EVENTS = 256 };

struct pair;
struct end {
    int fd;
    int readable, eof;
    struct pair *pair;
    char *held;             /* read from the other end, not yet written here */
    size_t held_off, held_len;
};
struct pair {
    struct end e[2];        /* 0 client, 1 upstream */
    int connected, dead;
    struct pair *next_dead;
};

static int ep;
static char buf[BUF];
static struct pair *graveyard;

static void kill_pair(struct pair *p)
{
    if (p->dead)
        return;
    p->dead = 1;
    close(p->e[0].fd);
    close(p->e[1].fd);
    p->next_dead = graveyard;
    graveyard = p;
}

/* Move bytes from s to d until there is no more to read or d is full. */
static void pump(struct pair *p, struct end *s, struct end *d)
{
    if (d->held_len) {
        ssize_t w = send(d->fd, d->held + d->held_off, d->held_len, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno != EAGAIN)
                kill_pair(p);
            return;
        }
        d->held_off += w;
        d->held_len -= w;
        if (d->held_len)
            return;
        free(d->held);
        d->held = NULL;
    }
    while (s->readable) {
        ssize_t r = recv(s->fd, buf, BUF, 0);
        if (r < 0) {
            if (errno == EAGAIN) {
                s->readable = 0;
                break;
            }
            kill_pair(p);
            return;
        }
        if (r == 0) {
            s->eof = 1;
            break;
        }
        if (r < BUF && !s->eof)
            s->readable = 0;
        ssize_t w = send(d->fd, buf, r, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno != EAGAIN) {
                kill_pair(p);
                return;
            }
            w = 0;
        }
        if (w < r) {
            d->held = malloc(r - w);
            memcpy(d->held, buf + w, r - w);
            d->held_off = 0;
            d->held_len = r - w;
            return;
        }
    }
    if (s->eof)
        kill_pair(p);
}

static void event(struct end *x, uint32_t ev)
{
    struct pair *p = x->pair;
    if (p->dead)
        return;
    struct end *o = x == &p->e[0] ? &p->e[1] : &p->e[0];
    if (ev & (EPOLLERR | EPOLLHUP))
        ev |= EPOLLIN;
    if (ev & EPOLLRDHUP) {
        x->eof = 1;         /* keep reading until recv returns 0 */
        ev |= EPOLLIN;
    }
    if (x == &p->e[1] && !p->connected && (ev & EPOLLOUT)) {
        p->connected = 1;
        pump(p, &p->e[0], &p->e[1]);
        if (p->dead)
            return;
    } else if ((ev & EPOLLOUT) && x->held_len) {
        pump(p, o, x);
        if (p->dead)
            return;
    }
    if (ev & EPOLLIN) {
        x->readable = 1;
        if (p->connected && !o->held_len)
            pump(p, x, o);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s HOST PORT UPSTREAM_HOST UPSTREAM_PORT\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int one = 1, ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    struct sockaddr_in u = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[4]))};
    if (inet_pton(AF_INET, argv[1], &a.sin_addr) != 1 ||
        inet_pton(AF_INET, argv[3], &u.sin_addr) != 1 ||
        bind(ls, (struct sockaddr *)&a, sizeof a) || listen(ls, 4096)) {
        perror("listen");
        return 1;
    }
    ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
    struct epoll_event ev[EVENTS];
    for (;;) {
        int n = epoll_wait(ep, ev, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr) {
                event(ev[i].data.ptr, ev[i].events);
                continue;
            }
            for (;;) {
                int fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0)
                    break;
                int uf = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                struct pair *p = calloc(1, sizeof *p);
                if (uf < 0 || !p) {
                    close(fd);
                    if (uf >= 0)
                        close(uf);
                    free(p);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                setsockopt(uf, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                if (connect(uf, (struct sockaddr *)&u, sizeof u) && errno != EINPROGRESS) {
                    close(fd);
                    close(uf);
                    free(p);
                    continue;
                }
                for (int k = 0; k < 2; k++) {
                    p->e[k].fd = k ? uf : fd;
                    p->e[k].pair = p;
                    e.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP;
                    e.data.ptr = &p->e[k];
                    epoll_ctl(ep, EPOLL_CTL_ADD, p->e[k].fd, &e);
                }
            }
        }
        while (graveyard) {
            struct pair *p = graveyard;
            graveyard = p->next_dead;
            free(p->e[0].held);
            free(p->e[1].held);
            free(p);
        }
    }
}
