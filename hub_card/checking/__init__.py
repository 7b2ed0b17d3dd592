"""`stacked-emotion check`: what every published model has to pass."""
