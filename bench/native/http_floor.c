/* The least that a client can do: write a prepared request, spin until the whole answer is there.
 *
 * usage: http_floor PORT REQUEST COUNT SAMPLES_FILE
 * Nothing is signed, encoded, checked or kept. SAMPLES_FILE gets COUNT int64 nanoseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Return 1 when the buffer holds a whole answer with status 200. */
static int is_whole(char *buffer, size_t filled) {
    buffer[filled] = 0;
    char *end = strstr(buffer, "\r\n\r\n");
    if (!end) return 0;
    char *length = strstr(buffer, "Content-Length:");
    if (strncmp(buffer, "HTTP/1.1 200", 12) || !length) exit(76);
    return filled >= (size_t)(end - buffer) + 4 + (size_t)atol(length + 15);
}

int main(int argc, char **argv) {
    if (argc != 5) return 64;
    static char request[16384], buffer[16384];
    FILE *file = fopen(argv[2], "rb");
    if (!file) return 66;
    size_t size = fread(request, 1, sizeof request, file);
    fclose(file);
    int count = atoi(argv[3]), one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)atoi(argv[1]))};
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) return 69;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int64_t *samples = malloc((size_t)count * sizeof *samples);
    for (int i = 0; i < count; i++) {
        size_t filled = 0;
        int64_t start = now();
        if (send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size) return 74;
        do {
            ssize_t n = recv(fd, buffer + filled, sizeof buffer - 1 - filled, MSG_DONTWAIT);
            if (n == 0) return 74;
            if (n > 0) filled += (size_t)n;
        } while (!filled || !is_whole(buffer, filled));
        samples[i] = now() - start;
    }
    file = fopen(argv[4], "wb");
    if (!file || fwrite(samples, sizeof *samples, (size_t)count, file) != (size_t)count) return 74;
    return fclose(file);
}
