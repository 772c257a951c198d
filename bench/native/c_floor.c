/* A C walk of Binance depth frames: parse and sorted arrays, no Python, written apart from the kernel.
 *
 * The reference that the kernel's cost is compared with: the same job (one walk over JSON with keys in any
 * order, the stream looked up, levels collected, values scaled to 8 decimals, the sequence checked, then the
 * sorted arrays changed and the touch read), with keys compiled in and much less checking.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { int64_t price, qty; } Level;
typedef struct { Level *rows; int n, cap; } Ladder; /* best last: bids ascending, asks stored negated */
typedef struct { Ladder bids, asks; int64_t last; int is_perp, joined; long applied, ignored; uint64_t hash; } Book;

static void put(Ladder *l, int64_t key, int64_t qty) {
    int lo = 0, hi = l->n;
    int step = 1, at = l->n - 1;
    while (at >= 0 && l->rows[at].price >= key) { hi = at; at -= step; step <<= 1; }
    lo = at < 0 ? 0 : at + 1;
    while (lo < hi) { int mid = (lo + hi) / 2; if (l->rows[mid].price < key) lo = mid + 1; else hi = mid; }
    if (lo < l->n && l->rows[lo].price == key) {
        if (qty) { l->rows[lo].qty = qty; return; }
        memmove(l->rows + lo, l->rows + lo + 1, (size_t)(l->n - lo - 1) * sizeof(Level));
        l->n--;
        return;
    }
    if (!qty) return;
    if (l->n == l->cap) { l->cap *= 2; l->rows = realloc(l->rows, (size_t)l->cap * sizeof(Level)); }
    memmove(l->rows + lo + 1, l->rows + lo, (size_t)(l->n - lo) * sizeof(Level));
    l->rows[lo].price = key;
    l->rows[lo].qty = qty;
    l->n++;
}

/* ---- a forward walk: keys in any order, unknown values skipped, levels into scratch, then checked, then applied */

typedef struct { int64_t value; int decimals; } Number;
static Number scratch[2][2 * 100000];
static int counts[2];

static const char *blank(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
    return p;
}

static const char *text(const char *p) { /* behind the opening quote -> at the closing one */
    while (*p != '"') { if (*p == '\\') p++; p++; }
    return p;
}

static const char *skip(const char *p) {
    int depth = 0;
    p = blank(p);
    do {
        if (*p == '"') p = text(p + 1) + 1;
        else if (*p == '{' || *p == '[') { depth++; p++; }
        else if (*p == '}' || *p == ']') { depth--; p++; }
        else p++;
        if (depth == 0 && (*p == ',' || *p == '}' || *p == ']' || !*p)) break;
    } while (*p);
    return p;
}

static const char *decimal(const char *p, Number *out) {
    int64_t v = 0;
    int decimals = 0;
    p = blank(p);
    if (*p != '"') return 0;
    p++;
    const char *from = p;
    while (*p >= '0' && *p <= '9') v = v * 10 + (*p++ - '0');
    if (p == from) return 0;
    if (*p == '.') {
        const char *dot = ++p;
        while (*p >= '0' && *p <= '9') v = v * 10 + (*p++ - '0');
        decimals = (int)(p - dot);
    }
    if (*p != '"' || p - from > 19) return 0;
    out->value = v;
    out->decimals = decimals;
    return p + 1;
}

static const char *levels(const char *p, int side) {
    counts[side] = 0;
    p = blank(p);
    if (*p != '[') return 0;
    p = blank(p + 1);
    while (*p != ']') {
        Number *row = &scratch[side][2 * counts[side]];
        if (*p != '[' || counts[side] == 100000) return 0;
        p = decimal(p + 1, row);
        if (!p) return 0;
        p = blank(p);
        if (*p != ',') return 0;
        p = decimal(p + 1, row + 1);
        if (!p) return 0;
        p = blank(p);
        if (*p != ']') return 0;
        counts[side]++;
        p = blank(p + 1);
        if (*p == ',') p = blank(p + 1);
    }
    return p + 1;
}

static const char *integer(const char *p, int64_t *out) {
    int64_t v = 0;
    p = blank(p);
    while (*p >= '0' && *p <= '9') v = v * 10 + (*p++ - '0');
    *out = v;
    return p;
}

static const int64_t power[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

static const int64_t limit[9] = {INT64_MAX, INT64_MAX / 10, INT64_MAX / 100, INT64_MAX / 1000, INT64_MAX / 10000,
    INT64_MAX / 100000, INT64_MAX / 1000000, INT64_MAX / 10000000, INT64_MAX / 100000000};

static int scale(int side) {
    for (int i = 0; i < 2 * counts[side]; i++) {
        Number *n = &scratch[side][i];
        int up = 8 - n->decimals;
        if (up < 0 || n->value > limit[up]) return 0;
        n->value *= power[up];
    }
    return 1;
}

typedef struct { const char *stream; int size; int64_t first, last, previous; } Frame;

static const char *object(const char *p, Frame *f) {
    p = blank(p);
    if (*p != '{') return 0;
    p = blank(p + 1);
    while (*p == '"') {
        const char *key = p + 1, *end = text(key);
        int size = (int)(end - key);
        p = blank(end + 1);
        if (*p != ':') return 0;
        p++;
        if (size == 1 && *key == 'U') p = integer(p, &f->first);
        else if (size == 1 && *key == 'u') p = integer(p, &f->last);
        else if (size == 2 && key[0] == 'p' && key[1] == 'u') p = integer(p, &f->previous);
        else if (size == 1 && *key == 'b') p = levels(p, 0);
        else if (size == 1 && *key == 'a') p = levels(p, 1);
        else if (size == 4 && !memcmp(key, "data", 4)) p = object(p, f);
        else if (size == 6 && !memcmp(key, "stream", 6)) {
            p = blank(p);
            f->stream = p + 1;
            p = text(p + 1);
            f->size = (int)(p - f->stream);
            p++;
        } else p = skip(p);
        if (!p) return 0;
        p = blank(p);
        if (*p == ',') p = blank(p + 1);
    }
    return *p == '}' ? p + 1 : 0;
}

static Book *found(Book **books, int count, const Frame *f) {
    uint64_t h = 14695981039346656037ULL;
    for (int i = 0; i < f->size; i++) h = (h ^ (unsigned char)f->stream[i]) * 1099511628211ULL;
    for (int i = 0; i < count; i++)
        if (books[i]->hash == h) return books[i];
    return 0;
}

Book *book_new(int is_perp, const char *stream) {
    Book *b = calloc(1, sizeof *b);
    b->hash = 14695981039346656037ULL;
    for (; *stream; stream++) b->hash = (b->hash ^ (unsigned char)*stream) * 1099511628211ULL;
    b->is_perp = is_perp;
    b->bids.cap = b->asks.cap = 4096;
    b->bids.rows = malloc(4096 * sizeof(Level));
    b->asks.rows = malloc(4096 * sizeof(Level));
    return b;
}
void book_free(Book *b) { free(b->bids.rows); free(b->asks.rows); free(b); }
void book_seed(Book *b, int is_bid, int64_t price, int64_t qty) {
    put(is_bid ? &b->bids : &b->asks, is_bid ? price : -price, qty);
}
void book_last(Book *b, int64_t last) { b->last = last; }
int book_size(Book *b, int is_bid) { return is_bid ? b->bids.n : b->asks.n; }
void book_level(Book *b, int is_bid, int i, int64_t *price, int64_t *qty) {
    Ladder *l = is_bid ? &b->bids : &b->asks;
    Level row = l->rows[l->n - 1 - i];
    *price = is_bid ? row.price : -row.price;
    *qty = row.qty;
}

static Book *feed(Book **books, int count, const char *p) {
    Frame f = {0, 0, 0, 0, 0};
    counts[0] = counts[1] = 0;
    if (!object(p, &f)) return 0;
    Book *b = found(books, count, &f);
    if (!b || !scale(0) || !scale(1)) return 0;
    if (b->is_perp ? f.last < b->last : f.last <= b->last) { b->ignored++; return b; }
    if (b->joined ? (b->is_perp ? f.previous != b->last : f.first != b->last + 1) : f.first > b->last + 1) return 0;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < counts[side]; i++) {
            int64_t price = scratch[side][2 * i].value;
            put(side ? &b->asks : &b->bids, side ? -price : price, scratch[side][2 * i + 1].value);
        }
    b->last = f.last;
    b->joined = 1;
    b->applied++;
    return b;
}

/* Feed `count` frames laid end to end, each followed by a zero byte; read the touch after each.
 * Return the nanoseconds it took, or -1 when a frame was refused. */
int64_t book_run(Book **books, int book_count, const char *frames, const int64_t *offsets, int count, double *sink) {
    struct timespec a, z;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < count; i++) {
        Book *b = feed(books, book_count, frames + offsets[i]);
        if (!b) return -1;
        if (b->bids.n) *sink += b->bids.rows[b->bids.n - 1].price / 1e8 + b->bids.rows[b->bids.n - 1].qty / 1e8;
        if (b->asks.n) *sink += b->asks.rows[b->asks.n - 1].price / 1e8 + b->asks.rows[b->asks.n - 1].qty / 1e8;
    }
    clock_gettime(CLOCK_MONOTONIC, &z);
    return (z.tv_sec - a.tv_sec) * 1000000000LL + (z.tv_nsec - a.tv_nsec);
}
