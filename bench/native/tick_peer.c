/* An exchange on loopback that never sleeps: sends a depth frame, stamps it, and waits for the order it leads to.
 *
 * usage: tick_peer PORT_FILE FRAMES COUNT ORDERS PAUSE_US
 * FRAMES: COUNT times (uint32 length, bytes). ORDERS: written at the end, a line for each frame: nanoseconds from
 * the send call to the order's last byte, symbol, price, client order id.
 * One port for both: who asks for an upgrade gets the frames, everybody else's requests are orders.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer.h"

#define CONNECTIONS 8
#define TIMEOUT_NS 5000000000LL
#define SETTLE_NS 300000000LL
#define SPINS_PER_ACCEPT 64

struct connection {
    int fd;
    size_t filled;
    char buffer[16384];
};

struct order {
    int64_t ns;
    char symbol[32], price[32], id[64];
};

static struct connection connections[CONNECTIONS];
static int server, ticks = -1, gone;
static long answered;

static void take(void) {
    int one = 1, fd = accept4(server, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (int i = 0; i < CONNECTIONS; i++)
        if (connections[i].fd < 0) {
            connections[i].fd = fd;
            connections[i].filled = 0;
            return;
        }
    close(fd);
}

static void field(const char *body, const char *name, char *out) {
    const char *at = strstr(body, name);
    *out = 0;
    if (at) sscanf(at + strlen(name), "%31[^&\r\n ]", out);
}

static void answer(int fd, const struct order *order) {
    char json[640], out[1024];
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    long long ms = t.tv_sec * 1000LL + t.tv_nsec / 1000000;
    int size = snprintf(json, sizeof json,
        "{\"symbol\":\"%s\",\"orderId\":%ld,\"orderListId\":-1,\"clientOrderId\":\"%s\",\"transactTime\":%lld,"
        "\"price\":\"%s\",\"origQty\":\"0.01250000\",\"executedQty\":\"0.00000000\","
        "\"origQuoteOrderQty\":\"0.00000000\",\"cummulativeQuoteQty\":\"0.00000000\",\"status\":\"NEW\","
        "\"timeInForce\":\"GTC\",\"type\":\"LIMIT\",\"side\":\"BUY\",\"workingTime\":%lld,"
        "\"selfTradePreventionMode\":\"NONE\"}", order->symbol, 1000000 + ++answered, order->id, ms, order->price, ms);
    size = snprintf(out, sizeof out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: %d\r\n"
        "Connection: keep-alive\r\nx-mbx-used-weight-1m: 1\r\nx-mbx-order-count-10s: 1\r\n\r\n%s", size, json);
    if (send(fd, out, (size_t)size, MSG_NOSIGNAL) != size) exit(2);
}

/* Look once at every connection; return 1 when a whole order has come, with it and its connection. */
static int look(struct order *order, int *fd) {
    static long spin;
    if (spin++ % SPINS_PER_ACCEPT == 0) take();
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &connections[i];
        if (c->fd < 0) continue;
        ssize_t n = recv(c->fd, c->buffer + c->filled, sizeof c->buffer - 1 - c->filled, MSG_DONTWAIT);
        if (n < 0) continue;
        if (n == 0) {
            gone |= c->fd == ticks;
            close(c->fd);
            c->fd = -1;
            continue;
        }
        int64_t at = now();
        if (c->fd == ticks) continue; /* its pings and closes are its own affair */
        c->filled += (size_t)n;
        c->buffer[c->filled] = 0;
        char *end = strstr(c->buffer, "\r\n\r\n");
        if (!end) continue;
        char *length = strcasestr(c->buffer, "content-length:");
        size_t body = length && length < end ? (size_t)atol(length + 15) : 0;
        if (c->filled < (size_t)(end - c->buffer) + 4 + body) continue;
        c->filled = 0;
        char reply[256];
        int size = welcome(c->buffer, reply, sizeof reply);
        if (size > 0) {
            if (send(c->fd, reply, (size_t)size, MSG_NOSIGNAL) != size) exit(2);
            ticks = c->fd;
            continue;
        }
        order->ns = at;
        field(end, "symbol=", order->symbol);
        field(end, "price=", order->price);
        field(end, "newClientOrderId=", order->id);
        *fd = c->fd;
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 6) return 64;
    int count = atoi(argv[3]), file = open(argv[2], O_RDONLY), fd = -1;
    int64_t pause_ns = atol(argv[5]) * 1000LL;
    struct stat st;
    if (file < 0 || fstat(file, &st)) return 66;
    unsigned char *data = mmap(0, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    unsigned char **frames = malloc((size_t)count * sizeof *frames);
    size_t *sizes = malloc((size_t)count * sizeof *sizes);
    struct order *orders = calloc((size_t)count, sizeof *orders), stray;
    for (int i = 0; i < count; i++) {
        uint32_t size;
        memcpy(&size, data, 4);
        if (size > 65000) return 65;
        frames[i] = framed(data + 4, size, &sizes[i]);
        data += 4 + size;
    }
    for (int i = 0; i < CONNECTIONS; i++) connections[i].fd = -1;
    server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 16)) return 71;
    getsockname(server, (struct sockaddr *)&address, &length);
    if (tell_port(argv[1], ntohs(address.sin_port))) return 73;
    int64_t deadline = now() + 4 * TIMEOUT_NS;
    while (ticks < 0) {
        if (look(&stray, &fd)) return 3; /* an order before any tick */
        if (now() > deadline) return 4;
    }
    for (int64_t until = now() + SETTLE_NS; now() < until;)
        if (look(&stray, &fd)) return 3;
    for (int i = 0; i < count; i++) {
        int64_t sent = now();
        send_all(ticks, frames[i], sizes[i]);
        while (!look(&orders[i], &fd))
            if (gone || now() > sent + TIMEOUT_NS) return 5; /* no order for this tick */
        orders[i].ns -= sent;
        answer(fd, &orders[i]);
        for (int64_t until = now() + pause_ns; now() < until;)
            if (look(&stray, &fd)) return 6; /* two orders for one tick */
    }
    FILE *out = fopen(argv[4], "w");
    if (!out) return 73;
    for (int i = 0; i < count; i++)
        fprintf(out, "%lld %s %s %s\n", (long long)orders[i].ns, orders[i].symbol, orders[i].price, orders[i].id);
    return fclose(out) ? 74 : 0;
}
