"""From the wire to a frame: type table, decoding, Arrow, pandas."""
