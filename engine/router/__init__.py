"""Order state machine, checks and the latency-measuring router."""
