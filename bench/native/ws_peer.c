/* A WebSocket peer on loopback: sends prepared messages on several connections when each is due.
 *
 * usage: ws_peer PORT_FILE MESSAGES STAMPS COUNT CONNECTIONS FLOOD
 * MESSAGES: COUNT times (uint32 length, uint32 connection, int64 due in ns after the start, bytes).
 * STAMPS: COUNT int64, filled with CLOCK_MONOTONIC at each send (shared with the reader).
 * FLOOD 1 = as fast as the sockets take them, many messages to a write, no stamps but the first.
 * A client names its connection by the path it asks for, /0 to /CONNECTIONS-1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint32_t rol(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1(const unsigned char *text, size_t size, unsigned char out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char block[128] = {0};
    size_t total = size + 9 <= 64 ? 64 : 128;
    memcpy(block, text, size);
    block[size] = 0x80;
    for (int i = 0; i < 8; i++) block[total - 1 - i] = (unsigned char)(((uint64_t)size * 8) >> (8 * i));
    for (size_t at = 0; at < total; at += 64) {
        uint32_t w[80];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)block[at + 4 * i] << 24 | block[at + 4 * i + 1] << 16 | block[at + 4 * i + 2] << 8 | block[at + 4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? ((b & c) | (~b & d)) + 0x5A827999 : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                       : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC : (b ^ c ^ d) + 0xCA62C1D6;
            uint32_t t = rol(a, 5) + f + e + w[i];
            e = d; d = c; c = rol(b, 30); b = a; a = t;
        }
        h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const unsigned char *in, int size, char *out) {
    static const char map[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < size; i += 3) {
        uint32_t v = in[i] << 16 | (i + 1 < size ? in[i + 1] << 8 : 0) | (i + 2 < size ? in[i + 2] : 0);
        *out++ = map[v >> 18];
        *out++ = map[v >> 12 & 63];
        *out++ = i + 1 < size ? map[v >> 6 & 63] : '=';
        *out++ = i + 2 < size ? map[v & 63] : '=';
    }
    *out = 0;
}

static void send_all(int fd, const unsigned char *data, size_t size) {
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0) exit(0); /* the reader has gone */
        data += n;
        size -= (size_t)n;
    }
}

/* Upgrade a connection; return the number in its path, or -1. */
static int greet(int fd) {
    char request[8192], key[128] = {0}, accept_text[64], reply[256];
    unsigned char digest[20];
    size_t got = 0;
    int number;
    while (got < sizeof request - 1) {
        ssize_t n = recv(fd, request + got, sizeof request - 1 - got, 0);
        if (n <= 0) return -1;
        got += (size_t)n;
        request[got] = 0;
        if (strstr(request, "\r\n\r\n")) break;
    }
    char *at = strcasestr(request, "sec-websocket-key:");
    if (!at || sscanf(at + 18, " %60s", key) != 1) return -1;
    strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1((unsigned char *)key, strlen(key), digest);
    base64(digest, 20, accept_text);
    int size = snprintf(reply, sizeof reply, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept_text);
    send_all(fd, (unsigned char *)reply, (size_t)size);
    return sscanf(request, "GET /%d ", &number) == 1 ? number : -1;
}

#define BATCH 32 /* messages to a write and connection when flooding */

static void flood(int *fds, int connections, int count, unsigned char **frames, size_t *sizes, int *on) {
    static unsigned char *out[64];
    size_t filled[64] = {0};
    for (int c = 0; c < connections; c++) out[c] = malloc(BATCH * 65536);
    for (int i = 0; i < count; i++) {
        memcpy(out[on[i]] + filled[on[i]], frames[i], sizes[i]);
        filled[on[i]] += sizes[i];
        if (i % (BATCH * connections) == BATCH * connections - 1 || i == count - 1)
            for (int c = 0; c < connections; c++) {
                send_all(fds[c], out[c], filled[c]);
                filled[c] = 0;
            }
    }
}

int main(int argc, char **argv) {
    if (argc != 7) return 64;
    int count = atoi(argv[4]), connections = atoi(argv[5]), flooding = atoi(argv[6]), one = 1;
    int fds[64], file = open(argv[2], O_RDONLY), stamps_file = open(argv[3], O_RDWR);
    struct stat st;
    if (file < 0 || stamps_file < 0 || fstat(file, &st) || connections > 64) return 66;
    unsigned char *data = mmap(0, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    int64_t *stamps = mmap(0, (size_t)count * 8, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, stamps_file, 0);
    unsigned char **frames = malloc((size_t)count * sizeof *frames);
    size_t *sizes = malloc((size_t)count * sizeof *sizes);
    int *on = malloc((size_t)count * sizeof *on);
    int64_t *due = malloc((size_t)count * sizeof *due);
    for (int i = 0; i < count; i++) {
        uint32_t size;
        memcpy(&size, data, 4);
        memcpy(&on[i], data + 4, 4);
        memcpy(&due[i], data + 8, 8);
        data += 16;
        if (size > 65000 || on[i] < 0 || on[i] >= connections) return 65;
        unsigned char *f = malloc(size + 4);
        size_t head = size < 126 ? 2 : 4;
        f[0] = 0x81;
        f[1] = (unsigned char)(size < 126 ? size : 126);
        if (head == 4) { f[2] = (unsigned char)(size >> 8); f[3] = (unsigned char)size; }
        memcpy(f + head, data, size);
        frames[i] = f;
        sizes[i] = head + size;
        data += size;
    }
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 64)) return 71;
    getsockname(server, (struct sockaddr *)&address, &length);
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.tmp", argv[1]);
    FILE *port = fopen(temporary, "w");
    fprintf(port, "%d\n", ntohs(address.sin_port));
    fclose(port);
    rename(temporary, argv[1]);
    for (int i = 0; i < connections; i++) {
        int fd = accept(server, 0, 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        int number = greet(fd);
        if (number < 0 || number >= connections) return 1;
        fds[number] = fd;
    }
    struct timespec rest = {0, 300000000};
    nanosleep(&rest, 0); /* let the reader settle */
    int64_t start = now();
    if (flooding) {
        stamps[0] = start;
        flood(fds, connections, count, frames, sizes, on);
    } else
        for (int i = 0; i < count; i++) {
            while (now() < start + due[i]) { }
            stamps[i] = now();
            send_all(fds[on[i]], frames[i], sizes[i]);
        }
    char rest_bytes[4096];
    for (int c = 0; c < connections; c++)
        while (recv(fds[c], rest_bytes, sizeof rest_bytes, 0) > 0) { } /* until the reader closes */
    return 0;
}
