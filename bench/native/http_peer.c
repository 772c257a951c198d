/* An order-entry server on loopback that never sleeps: answers every POST as accepted, echoing its id.
 *
 * usage: http_peer PORT_FILE [CERTIFICATE_PEM KEY_PEM]
 * On SIGTERM it prints how many requests it answered. OpenSSL's prototypes are declared here, since its
 * library is on every machine that has Python and its headers are not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_TLS
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
const void *TLS_server_method(void);
SSL_CTX *SSL_CTX_new(const void *);
int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
int SSL_CTX_use_PrivateKey_file(SSL_CTX *, const char *, int);
SSL *SSL_new(SSL_CTX *);
int SSL_set_fd(SSL *, int);
int SSL_accept(SSL *);
int SSL_read(SSL *, void *, int);
int SSL_write(SSL *, const void *, int);
int SSL_get_error(const SSL *, int);
void SSL_free(SSL *);
static SSL_CTX *context;
#else
typedef void SSL;
#endif

#define CONNECTIONS 8
#define SPINS_PER_ACCEPT 2048

struct connection {
    int fd;
    SSL *ssl;
    size_t filled;
    char buffer[16384];
};

static struct connection connections[CONNECTIONS];
static volatile sig_atomic_t stopped;
static long answered;

static void stop(int number) { (void)number; stopped = 1; }

/* Return bytes read, 0 at the end, -1 when nothing is there. */
static int get(struct connection *c) {
    char *to = c->buffer + c->filled;
    size_t room = sizeof c->buffer - 1 - c->filled;
#ifdef WITH_TLS
    if (c->ssl) {
        int n = SSL_read(c->ssl, to, (int)room);
        return n > 0 ? n : SSL_get_error(c->ssl, n) == 2 ? -1 : 0;
    }
#endif
    ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
    return n < 0 ? -1 : (int)n;
}

static void put(struct connection *c, const char *data, int size) {
#ifdef WITH_TLS
    if (c->ssl) {
        if (SSL_write(c->ssl, data, size) != size) exit(2);
        return;
    }
#endif
    if (send(c->fd, data, (size_t)size, MSG_NOSIGNAL) != size) exit(2);
}

static void drop(struct connection *c) {
#ifdef WITH_TLS
    if (c->ssl) SSL_free(c->ssl);
#endif
    close(c->fd);
    c->fd = -1;
    c->ssl = 0;
    c->filled = 0;
}

static void answer(struct connection *c, const char *body, long long at_ms) {
    char id[64] = "", json[640], out[1024];
    const char *mark = strstr(body, "newClientOrderId=");
    if (mark) sscanf(mark + 17, "%63[^&\r\n ]", id);
    answered++;
    int size = snprintf(json, sizeof json,
        "{\"symbol\":\"BTCUSDT\",\"orderId\":%ld,\"orderListId\":-1,\"clientOrderId\":\"%s\",\"transactTime\":%lld,"
        "\"price\":\"50000.10000000\",\"origQty\":\"0.01250000\",\"executedQty\":\"0.00000000\","
        "\"origQuoteOrderQty\":\"0.00000000\",\"cummulativeQuoteQty\":\"0.00000000\",\"status\":\"NEW\","
        "\"timeInForce\":\"GTC\",\"type\":\"LIMIT\",\"side\":\"BUY\",\"workingTime\":%lld,"
        "\"selfTradePreventionMode\":\"NONE\"}", 1000000 + answered, id, at_ms, at_ms);
    size = snprintf(out, sizeof out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: %d\r\n"
        "Connection: keep-alive\r\nx-mbx-used-weight-1m: 1\r\nx-mbx-order-count-10s: 1\r\n\r\n%s", size, json);
    put(c, out, size);
}

/* Answer a whole request, if one is there. */
static void serve(struct connection *c) {
    c->buffer[c->filled] = 0;
    char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end) return;
    char *length = strcasestr(c->buffer, "content-length:");
    size_t body = length && length < end ? (size_t)atol(length + 15) : 0;
    size_t total = (size_t)(end - c->buffer) + 4 + body;
    if (c->filled < total) return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    answer(c, end + 4, now.tv_sec * 1000LL + now.tv_nsec / 1000000);
    memmove(c->buffer, c->buffer + total, c->filled - total);
    c->filled -= total;
}

static void take(int server) {
    int one = 1, fd = accept4(server, 0, 0, SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (int i = 0; i < CONNECTIONS; i++)
        if (connections[i].fd < 0) {
            connections[i].fd = fd;
#ifdef WITH_TLS
            if (context) {
                connections[i].ssl = SSL_new(context);
                SSL_set_fd(connections[i].ssl, fd);
                if (SSL_accept(connections[i].ssl) != 1) drop(&connections[i]);
            }
#endif
            if (connections[i].fd >= 0) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
            return;
        }
    close(fd);
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) return 64;
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
#ifdef WITH_TLS
    if (argc == 4) {
        context = SSL_CTX_new(TLS_server_method());
        if (SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1) return 66;
        if (SSL_CTX_use_PrivateKey_file(context, argv[3], 1) != 1) return 66;
    }
#else
    if (argc == 4) return 69;
#endif
    for (int i = 0; i < CONNECTIONS; i++) connections[i].fd = -1;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 16)) return 71;
    getsockname(server, (struct sockaddr *)&address, &length);
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.tmp", argv[1]);
    FILE *port = fopen(temporary, "w");
    if (!port) return 73;
    fprintf(port, "%d\n", ntohs(address.sin_port));
    fclose(port);
    rename(temporary, argv[1]);
    for (long spin = 0; !stopped; spin++) {
        if (spin % SPINS_PER_ACCEPT == 0) take(server);
        for (int i = 0; i < CONNECTIONS; i++) {
            struct connection *c = &connections[i];
            if (c->fd < 0) continue;
            int n = get(c);
            if (n == 0) drop(c);
            if (n <= 0) continue;
            c->filled += (size_t)n;
            serve(c);
        }
    }
    printf("%ld\n", answered);
    return 0;
}
