"""The model card: what it says, from the figures of a run and what is known of its data."""
