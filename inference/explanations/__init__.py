"""Why a text got a label."""
