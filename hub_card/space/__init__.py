"""The demo app: what a Space, or `stacked-emotion demo-app`, shows."""
