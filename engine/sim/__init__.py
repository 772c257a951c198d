"""The simulated exchange: another program, written from its own reading of the venues' protocols."""
