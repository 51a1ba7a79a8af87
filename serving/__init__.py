"""The server: a SavedModel behind TensorFlow Serving's REST API, answers for people, and a page."""
