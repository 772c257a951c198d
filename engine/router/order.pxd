# Compiled, an order is a C struct: creating one and reading its fields cost a quarter of what slots do.
# Stamps are mono_ns. What may outgrow 64 bits (prices times quantities) stays a Python int.

cdef class Order:
    cdef public str venue, universal, client_order_id, venue_order_id, transport
    cdef public str reason, amend_reason
    cdef public object side, state, amend_state
    cdef public object price, qty, qty_most, cum_qty, cum_quote_scaled, amend_qty, amend_price
    cdef public object terms_utc_ns, venue_utc_ns
    cdef public dict fees
    cdef public list fills
    cdef public set trade_ids
    cdef public tuple replaced_ids
    cdef public bint reduce_only, renames, was_acked, is_external, is_overfilled
    cdef public long contradictions, amend_number, amend_unseen, terms_number, not_found
    cdef public long long amend_written_ns, amend_deadline_ns, amend_unseen_ns, not_found_ns
    cdef public long long decided_ns, encoded_ns, written_ns, acked_ns, first_fill_ns, updated_ns
    cdef public long long doubt_deadline_ns

    cpdef move(self, state, str reason=*)
    cdef _seen(self, str venue_order_id, state)
    cdef _learn(self, price, qty, cum_qty, state, stamp_ns, long asked_terms)
    cdef _merge(self, state, cum_qty, str reason)
