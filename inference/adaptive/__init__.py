"""Adaptive stacking: the cheapest encoder first, the next one only where it may change labels."""
