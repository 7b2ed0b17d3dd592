"""Files and data sets, opened and read row by row."""
