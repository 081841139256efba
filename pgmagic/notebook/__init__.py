"""The face: the notebook's event loop, the magics, display, panel."""
