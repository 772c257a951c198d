"""One self-contained, sans-I/O folder per venue; ``base`` holds what sessions and the router may know."""
