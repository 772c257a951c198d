"""The one L2 book, its kernel and its synchronisation."""
