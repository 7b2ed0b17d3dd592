"""stacked_emotion: multi-label emotion classification with a stack of encoders."""
