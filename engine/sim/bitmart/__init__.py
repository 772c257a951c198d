"""BitMart on the wire: spot and USDT-M futures v2 over the shared exchange."""
