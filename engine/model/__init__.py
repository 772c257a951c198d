"""The vocabulary of the engine: values only, no behaviour that needs a socket, a clock or a venue."""
