/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Benchmark origin server: one thread, level-triggered epoll, HTTP/1.1 with
 * keep-alive and pipelining.  It is meant to cost as little CPU as possible so
 * that it can share a core with the load generator.
 *
 *   GET  /bytes/N      N bytes of body (N <= 8 MiB)
 *   GET  /__stats      {"requests":R,"connections":C}; not counted itself
 *   anything else      a fixed JSON document of 1024 bytes; a request body,
 *                      with Content-Length or chunked, is read and dropped
 *
 * usage: backend HOST PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { IN_CAP = 32768, BIG_MAX = 8 << 20, SMALL = 1024, EVENTS = 256 };

enum body_state { B_NONE, B_LENGTH, B_CHUNK_SIZE, B_CHUNK_DATA, B_CHUNK_END, B_TRAILER };

struct conn {
    int fd;
    int closing;
    uint32_t armed;
    enum body_state body;
    uint64_t body_left;
    int stats, keep;        /* of the request whose body is being read */
    long want;              /* its response size: -1 small */
    size_t in_len;
    char *out;              /* unsent header/small bytes */
    size_t out_off, out_len, out_cap;
    uint64_t big_left;      /* bytes of a big body still to send after out */
    size_t big_off;
    char in[IN_CAP];
};

static char *big;
static char small_resp[2][2048];    /* [1]: with Connection: close */
static size_t small_len[2];
static char small_body[SMALL + 1];
static uint64_t n_requests, n_connections;
static int ep;
static time_t stamped;

static void make_body(void)
{
    int n = snprintf(small_body, SMALL, "{\"id\":42,\"status\":\"ok\",\"items\":[{}");
    for (int i = 0; n < SMALL - 40; i++)
        n += snprintf(small_body + n, SMALL - n, ",{\"k\":%d,\"v\":\"value-%d\"}", i, i * 7);
    memset(small_body + n, ' ', SMALL - n);
    memcpy(small_body + SMALL - 2, "]}", 2);
}

/* The Date header changes once a second; the rest of the response never. */
static void stamp(void)
{
    time_t now = time(NULL);
    if (now == stamped)
        return;
    stamped = now;
    char date[64];
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    for (int k = 0; k < 2; k++) {
        int h = snprintf(small_resp[k], sizeof small_resp[k],
                         "HTTP/1.1 200 OK\r\n"
                         "Server: origin/1.0\r\n"
                         "Date: %s\r\n"
                         "Content-Type: application/json; charset=utf-8\r\n"
                         "Content-Length: %d\r\n"
                         "Cache-Control: no-store\r\n"
                         "ETag: \"5f2b-9a1c44e0\"\r\n"
                         "Vary: Accept-Encoding\r\n"
                         "X-Powered-By: origin\r\n"
                         "Connection: %s\r\n\r\n",
                         date, SMALL, k ? "close" : "keep-alive");
        memcpy(small_resp[k] + h, small_body, SMALL);
        small_len[k] = h + SMALL;
    }
}

static void out_put(struct conn *c, const char *p, size_t n)
{
    if (c->out_off == c->out_len)
        c->out_off = c->out_len = 0;
    if (c->out_len + n > c->out_cap) {
        size_t cap = c->out_cap ? c->out_cap : 4096;
        while (cap < c->out_len + n)
            cap *= 2;
        c->out = realloc(c->out, cap);
        if (!c->out)
            abort();
        c->out_cap = cap;
    }
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

static void finish(struct conn *c)
{
    char h[512];
    if (c->stats) {
        char b[128];
        int bn = snprintf(b, sizeof b, "{\"requests\":%llu,\"connections\":%llu}",
                          (unsigned long long)n_requests, (unsigned long long)n_connections);
        int hn = snprintf(h, sizeof h, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", bn);
        out_put(c, h, hn);
        out_put(c, b, bn);
    } else if (c->want >= 0) {
        n_requests++;
        int hn = snprintf(h, sizeof h,
                          "HTTP/1.1 200 OK\r\nServer: origin/1.0\r\n"
                          "Content-Type: application/octet-stream\r\n"
                          "Cache-Control: no-store\r\nContent-Length: %ld\r\n"
                          "Connection: %s\r\n\r\n",
                          c->want, c->keep ? "keep-alive" : "close");
        out_put(c, h, hn);
        c->big_left = c->want;
        c->big_off = 0;
    } else {
        n_requests++;
        out_put(c, small_resp[!c->keep], small_len[!c->keep]);
    }
    if (!c->keep)
        c->closing = 1;
    c->body = B_NONE;
}

/* Consume what can be consumed; returns -1 on a protocol error. */
static int consume(struct conn *c)
{
    size_t pos = 0;
    while (pos < c->in_len || c->body == B_NONE) {
        if (c->closing || c->big_left)
            break;
        char *p = c->in + pos;
        size_t n = c->in_len - pos;
        if (c->body == B_NONE) {
            if (n == 0)
                break;
            char *end = memmem(p, n, "\r\n\r\n", 4);
            if (!end) {
                if (n == IN_CAP)
                    return -1;
                break;
            }
            char *sp = memchr(p, ' ', end - p);
            if (!sp)
                return -1;
            char *path = sp + 1;
            c->stats = !strncmp(path, "/__stats", 8);
            c->want = -1;
            if (!strncmp(path, "/bytes/", 7)) {
                c->want = atol(path + 7);
                if (c->want < 0 || c->want > BIG_MAX)
                    return -1;
            }
            c->keep = 1;
            c->body_left = 0;
            enum body_state b = B_NONE;
            char *line = memmem(p, end - p + 2, "\r\n", 2);
            if (line && line - p >= 8 && !memcmp(line - 8, "HTTP/1.0", 8))
                c->keep = 0;
            while (line && line < end) {
                line += 2;
                char *eol = memmem(line, end + 2 - line, "\r\n", 2);
                if (!eol)
                    break;
                if ((line[0] | 32) == 'c') {
                    if (!strncasecmp(line, "content-length:", 15)) {
                        c->body_left = strtoull(line + 15, NULL, 10);
                        if (c->body_left)
                            b = B_LENGTH;
                    } else if (!strncasecmp(line, "connection:", 11)) {
                        char *v = line + 11;
                        while (*v == ' ')
                            v++;
                        if (!strncasecmp(v, "close", 5))
                            c->keep = 0;
                        else if (!strncasecmp(v, "keep-alive", 10))
                            c->keep = 1;
                    }
                } else if ((line[0] | 32) == 't' &&
                           !strncasecmp(line, "transfer-encoding:", 18)) {
                    b = B_CHUNK_SIZE;
                }
                line = eol;
            }
            pos += end + 4 - p;
            c->body = b;
            if (b == B_NONE)
                finish(c);
        } else if (c->body == B_LENGTH || c->body == B_CHUNK_DATA) {
            size_t k = n < c->body_left ? n : c->body_left;
            pos += k;
            c->body_left -= k;
            if (!c->body_left) {
                if (c->body == B_LENGTH)
                    finish(c);
                else
                    c->body = B_CHUNK_END;
            }
        } else {
            char *eol = memmem(p, n, "\r\n", 2);
            if (!eol)
                break;
            pos += eol + 2 - p;
            if (c->body == B_CHUNK_SIZE) {
                c->body_left = strtoull(p, NULL, 16);
                c->body = c->body_left ? B_CHUNK_DATA : B_TRAILER;
            } else if (c->body == B_CHUNK_END) {
                c->body = B_CHUNK_SIZE;
            } else if (eol == p) {
                finish(c);
            }
        }
    }
    if (pos) {
        c->in_len -= pos;
        if (c->in_len)
            memmove(c->in, c->in + pos, c->in_len);
    }
    return 0;
}

/* 1 everything sent, 0 would block, -1 broken */
static int flush_out(struct conn *c)
{
    while (c->out_off < c->out_len || c->big_left) {
        struct iovec v[2];
        int k = 0;
        size_t head = c->out_len - c->out_off;
        if (head)
            v[k++] = (struct iovec){c->out + c->out_off, head};
        if (c->big_left)
            v[k++] = (struct iovec){big + c->big_off, c->big_left};
        ssize_t w = k == 1 ? send(c->fd, v[0].iov_base, v[0].iov_len, MSG_NOSIGNAL)
                           : writev(c->fd, v, k);
        if (w < 0) {
            if (errno == EAGAIN)
                return 0;
            if (errno == EINTR)
                continue;
            return -1;
        }
        size_t s = (size_t)w < head ? (size_t)w : head;
        c->out_off += s;
        c->big_off += w - s;
        c->big_left -= w - s;
    }
    return 1;
}

static void drop(struct conn *c)
{
    close(c->fd);
    free(c->out);
    free(c);
}

static void arm(struct conn *c, uint32_t want)
{
    if (c->armed == want)
        return;
    struct epoll_event e = {.events = want, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->armed = want;
}

static void serve(struct conn *c, uint32_t ev)
{
    if (ev & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t r = recv(c->fd, c->in + c->in_len, IN_CAP - c->in_len, 0);
        if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR)) {
            drop(c);
            return;
        }
        if (r > 0)
            c->in_len += r;
    }
    for (;;) {
        if (consume(c) < 0) {
            drop(c);
            return;
        }
        int pending = c->out_off < c->out_len || c->big_left;
        int f = flush_out(c);
        if (f < 0) {
            drop(c);
            return;
        }
        if (f == 0) {
            arm(c, EPOLLOUT);
            return;
        }
        if (c->closing) {
            drop(c);
            return;
        }
        if (!pending || !c->in_len)
            break;
    }
    arm(c, EPOLLIN);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOST PORT\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    make_body();
    big = malloc(BIG_MAX);
    for (size_t i = 0; i < BIG_MAX; i++)
        big[i] = 'a' + i % 26;
    int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &a.sin_addr) != 1 ||
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
        stamp();
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            if (c) {
                serve(c, ev[i].events);
                continue;
            }
            for (;;) {
                int fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0)
                    break;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = malloc(sizeof *c);
                memset(c, 0, offsetof(struct conn, in));
                c->fd = fd;
                c->armed = EPOLLIN;
                e.events = EPOLLIN;
                e.data.ptr = c;
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
                n_connections++;
            }
        }
    }
}
