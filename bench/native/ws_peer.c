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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer.h"

/* Upgrade a connection; return the number in its path, or -1. */
static int greet(int fd) {
    char request[8192], reply[256];
    size_t got = 0;
    int number;
    while (got < sizeof request - 1) {
        ssize_t n = recv(fd, request + got, sizeof request - 1 - got, 0);
        if (n <= 0) return -1;
        got += (size_t)n;
        request[got] = 0;
        if (strstr(request, "\r\n\r\n")) break;
    }
    int size = welcome(request, reply, sizeof reply);
    if (size < 0) return -1;
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
        frames[i] = framed(data, size, &sizes[i]);
        data += size;
    }
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 64)) return 71;
    getsockname(server, (struct sockaddr *)&address, &length);
    if (tell_port(argv[1], ntohs(address.sin_port))) return 73;
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
