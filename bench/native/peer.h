/* What the peers on loopback share: the clock, and enough of RFC 6455 to be a server of unmasked text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

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

/* Write the answer to an upgrade request; return its size, or -1 where it is none. */
static int welcome(const char *request, char *reply, size_t room) {
    char key[128] = {0}, accept_text[64];
    unsigned char digest[20];
    const char *at = strcasestr(request, "sec-websocket-key:");
    if (!at || sscanf(at + 18, " %60s", key) != 1) return -1;
    strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1((const unsigned char *)key, strlen(key), digest);
    base64(digest, 20, accept_text);
    return snprintf(reply, room, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept_text);
}

/* Return a text as an unmasked frame, and its size with the head; up to 65,000 bytes. */
static unsigned char *framed(const unsigned char *text, size_t size, size_t *whole) {
    size_t head = size < 126 ? 2 : 4;
    unsigned char *frame = malloc(size + 4);
    frame[0] = 0x81;
    frame[1] = (unsigned char)(size < 126 ? size : 126);
    if (head == 4) { frame[2] = (unsigned char)(size >> 8); frame[3] = (unsigned char)size; }
    memcpy(frame + head, text, size);
    *whole = head + size;
    return frame;
}

/* Write where we listen, whole or not at all. */
static int tell_port(const char *path, int port) {
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *file = fopen(temporary, "w");
    if (!file) return -1;
    fprintf(file, "%d\n", port);
    fclose(file);
    return rename(temporary, path);
}
