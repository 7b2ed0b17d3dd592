"""`stacked-emotion tune`: search of hyper-parameters on cached features."""
