# cython: language_level=3
"""Reads the usual order object of a venue in C; ``acks.py`` has the contract."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from engine.model._text cimport scale_digits

cdef extern from "Python.h":
    int PyUnicode_IS_COMPACT_ASCII(object text)
    unsigned char* PyUnicode_1BYTE_DATA(object text)

cdef enum:
    SYMBOL, OWN_ID, OTHER_ID, VENUE_ID, STATE, SIDE, PRICE, QTY, CUM_QTY
    QUOTE, OTHER_QUOTE, STAMP, OTHER_STAMP, LAST_STAMP, ROLES
    KEY_MAX = 32
    WORDS_MAX = 16
    DIGITS_MAX = 18  # what always fits an int64
    MILLIS_DIGITS_MAX = 13

cdef int64_t NS_PER_MS = 1000000


cdef struct Word:
    char[KEY_MAX] text
    int size


cdef struct Value:
    const char* data
    Py_ssize_t size
    bint is_text
    bint is_seen


cdef class Words:
    """Known words and what each means."""

    cdef Word[WORDS_MAX] words
    cdef list meanings

    def __init__(self, meanings):
        self.meanings = []
        for word, meaning in meanings.items():
            if len(self.meanings) == WORDS_MAX:
                raise ValueError(f"more than {WORDS_MAX} words")
            put_word(&self.words[len(self.meanings)], word.encode())
            self.meanings.append(meaning)

    cdef object meaning(self, const Value* value):
        """Return what the value means; None: it is no known word."""
        cdef Py_ssize_t index
        if value.is_seen and value.is_text:
            for index in range(len(self.meanings)):
                if is_word(&self.words[index], value.data, value.size):
                    return self.meanings[index]
        return None


cdef class AckReader:
    """See ``acks.AckReader``."""

    cdef Word[ROLES] keys
    cdef int[ROLES] next_of_size
    cdef int[KEY_MAX + 1] first_of_size
    cdef Words states
    cdef Words sides
    cdef object make
    cdef object decimal
    cdef bytes zero_text
    cdef object zero

    def __init__(self, make, decimal, *, symbol, client_ids, venue_id, state, states, side, sides, price, qty,
                 cum_qty, quotes, stamps_ms):
        cdef int role
        self.make = make
        self.decimal = decimal
        self.states = Words(states)
        self.sides = Words(sides)
        self.zero_text = b""
        if len(client_ids) > 2 or len(quotes) > 2 or len(stamps_ms) > 3:
            raise ValueError("two client ids, two quotes and three stamps at most")
        names = [symbol, *spread(client_ids, 2), venue_id, state, side, price, qty, cum_qty]
        names += [*spread(quotes, 2), *spread(stamps_ms, 3)]
        for role in range(KEY_MAX + 1):
            self.first_of_size[role] = -1
        for role in range(ROLES):
            if not names[role]:
                continue
            put_word(&self.keys[role], names[role].encode())
            self.next_of_size[role] = self.first_of_size[self.keys[role].size]
            self.first_of_size[self.keys[role].size] = role

    def read(self, bytes body not None, str symbol not None, int price_scale, int qty_scale):
        """Return the ack that the body tells, or None for anything unusual."""
        cdef Value[ROLES] values
        cdef int64_t price, qty, cum_qty, stamp = 0
        cdef int role
        if not self.scan(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), values):
            return None
        if not is_text(&values[SYMBOL], symbol):
            return None
        price = scaled(&values[PRICE], price_scale)
        qty = scaled(&values[QTY], qty_scale)
        cum_qty = scaled(&values[CUM_QTY], qty_scale)
        if price < 0 or qty < 0 or cum_qty < 0:
            return None
        for role in range(STAMP, LAST_STAMP + 1):
            if values[role].is_seen:
                if values[role].size > MILLIS_DIGITS_MAX or not is_digits(&values[role]):
                    return None
                if stamp == 0:
                    stamp = scale_digits(values[role].data, values[role].size, 0)
        for role in (OWN_ID, OTHER_ID, QUOTE, OTHER_QUOTE):  # also those that do not count must be texts
            if values[role].is_seen and not is_plain(&values[role]):
                return None
        if not values[OTHER_ID].is_seen or not is_digits(&values[VENUE_ID]):
            return None
        role = OWN_ID if values[OWN_ID].is_seen and values[OWN_ID].size else OTHER_ID
        state = self.states.meaning(&values[STATE])
        side = self.sides.meaning(&values[SIDE])
        if state is None or side is None:
            return None
        quote = None
        if values[QUOTE].is_seen or values[OTHER_QUOTE].is_seen:
            quote = self.quote(&values[QUOTE] if values[QUOTE].is_seen else &values[OTHER_QUOTE])
            if quote is None:
                return None
        return self.make(
            client_order_id=text_of(&values[role]),
            venue_order_id=text_of(&values[VENUE_ID]),
            state=state,
            price=price,
            qty=qty,
            cum_qty=cum_qty,
            cum_quote=quote,
            side=side,
            venue_utc_ns=stamp * NS_PER_MS if stamp else None,
        )

    cdef object quote(self, const Value* value):
        """Return the amount; None for an unusual one. Most are the same zero as the last."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.zero_text)
        if size and value.is_text and value.size == size:
            if memcmp(PyBytes_AS_STRING(self.zero_text), value.data, size) == 0:
                return self.zero
        if not is_amount(value):
            return None
        text = text_of(value)
        amount = self.decimal(text)
        if not amount:
            self.zero_text, self.zero = text.encode(), amount
        return amount

    cdef bint scan(self, const char* data, Py_ssize_t size, Value* values) noexcept nogil:
        """Find the values; return whether the bytes are one flat object without a field twice."""
        cdef const char* end = data + size
        cdef const char* key
        cdef Py_ssize_t key_size
        cdef Value other
        cdef Value* value
        cdef int role
        for role in range(ROLES):
            values[role].is_seen = False
        data = spaces(data, end)
        if data == end or data[0] != c"{":
            return False
        data = spaces(data + 1, end)
        while True:
            if data == end or data[0] != c'"':
                return False
            key = data + 1
            data = text_end(key, end)
            if data == NULL:
                return False
            key_size = data - key
            data = spaces(data + 1, end)
            if data == end or data[0] != c":":
                return False
            data = spaces(data + 1, end)
            if data == end:
                return False
            value = &other
            role = self.first_of_size[key_size] if key_size <= KEY_MAX else -1
            while role >= 0:
                if self.keys[role].text[0] == key[0] and memcmp(self.keys[role].text, key, key_size) == 0:
                    value = &values[role]
                    if value.is_seen:
                        return False
                    value.is_seen = True
                    break
                role = self.next_of_size[role]
            value.is_text = data[0] == c'"'
            if value.is_text:
                value.data = data + 1
                data = text_end(data + 1, end)
                if data == NULL:
                    return False
                value.size = data - value.data
                data += 1
            else:
                value.data = data
                data = token_end(data, end)
                if data == NULL:
                    return False
                value.size = data - value.data
            data = spaces(data, end)
            if data == end:
                return False
            if data[0] == c"}":
                return spaces(data + 1, end) == end
            if data[0] != c",":
                return False
            data = spaces(data + 1, end)


def spread(names, size):
    """Return the names, the last ones in the last places of ``size``."""
    return [""] * (size - len(names)) + list(names)


cdef int put_word(Word* word, bytes text) except -1:
    if not 0 < len(text) <= KEY_MAX:
        raise ValueError(f"{text!r} does not fit")
    memcpy(word.text, PyBytes_AS_STRING(text), len(text))
    word.size = <int>len(text)
    return 0


cdef inline bint is_word(const Word* word, const char* data, Py_ssize_t size) noexcept nogil:
    return word.size == size and memcmp(word.text, data, size) == 0


cdef inline object text_of(const Value* value):
    return PyUnicode_DecodeASCII(value.data, value.size, NULL)


cdef inline bint is_text(const Value* value, str text):
    return (
        value.is_seen
        and value.is_text
        and PyUnicode_IS_COMPACT_ASCII(text)
        and value.size == PyUnicode_GET_LENGTH(text)
        and memcmp(value.data, PyUnicode_1BYTE_DATA(text), value.size) == 0
    )


cdef bint is_plain(const Value* value) noexcept nogil:
    """Tell whether the value is a text of printable ASCII."""
    cdef Py_ssize_t at
    if not value.is_text:
        return False
    for at in range(value.size):
        if not 32 <= <unsigned char>value.data[at] < 127:
            return False
    return True


cdef bint is_digits(const Value* value) noexcept nogil:
    """Tell whether the value is a bare integer of 1 to 18 digits."""
    cdef Py_ssize_t at
    if not value.is_seen or value.is_text or not 0 < value.size <= DIGITS_MAX:
        return False
    for at in range(value.size):
        if not c"0" <= value.data[at] <= c"9":
            return False
    return True


cdef bint is_amount(const Value* value) noexcept nogil:
    """Tell whether the value is plain decimal text, of up to 30 digits on either side of the point."""
    cdef Py_ssize_t at, whole = 0, fraction = 0
    cdef bint in_fraction = False
    if not value.is_text:
        return False
    for at in range(value.size):
        if value.data[at] == c"." and not in_fraction:
            in_fraction = True
        elif c"0" <= value.data[at] <= c"9":
            if in_fraction:
                fraction += 1
            else:
                whole += 1
        else:
            return False
    return 0 < whole <= 30 and fraction <= 30 and in_fraction == (fraction > 0)


cdef inline const char* spaces(const char* data, const char* end) noexcept nogil:
    while data < end and (data[0] == c" " or data[0] == c"\n" or data[0] == c"\r" or data[0] == c"\t"):
        data += 1
    return data


cdef inline const char* text_end(const char* data, const char* end) noexcept nogil:
    """Return the closing quote; NULL: none, an escape, a control character, or more than ASCII."""
    while data < end:
        if data[0] == c'"':
            return data
        if data[0] == c"\\" or <signed char>data[0] < 32:
            return NULL
        data += 1
    return NULL


cdef const char* token_end(const char* data, const char* end) noexcept nogil:
    """Return the end of a JSON number or word; NULL: neither."""
    cdef const char* start
    cdef Py_ssize_t left = end - data
    if data[0] > c"9":
        if left >= 4 and (memcmp(data, b"true", 4) == 0 or memcmp(data, b"null", 4) == 0):
            return data + 4
        if left >= 5 and memcmp(data, b"false", 5) == 0:
            return data + 5
        return NULL
    if data[0] == c"-":
        data += 1
    start = data
    data = digits_end(data, end)
    if data == start or (start[0] == c"0" and data - start > 1):
        return NULL
    if data < end and data[0] == c".":
        start = data + 1
        data = digits_end(start, end)
        if data == start:
            return NULL
    if data < end and (data[0] == c"e" or data[0] == c"E"):
        data += 1
        if data < end and (data[0] == c"+" or data[0] == c"-"):
            data += 1
        start = data
        data = digits_end(start, end)
        if data == start:
            return NULL
    return data


cdef inline const char* digits_end(const char* data, const char* end) noexcept nogil:
    while data < end and c"0" <= data[0] <= c"9":
        data += 1
    return data


cdef inline int64_t scaled(const Value* value, int scale) noexcept nogil:
    """Return plain decimal text as ``10**-scale`` units; -1 for anything unusual, as ``scale_text`` does."""
    if not value.is_seen or not value.is_text:
        return -1
    return scale_digits(value.data, value.size, scale)
