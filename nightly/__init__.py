"""Every night by itself: runs the project's commands one after the other, and lets a good outcome go live."""
